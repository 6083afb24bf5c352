"""The request log: one line a request, with the question, the answer and the cost.

A line is a JSON object. On demand it is also a document of CloudWatch's embedded metric format
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html),
of which CloudWatch Logs makes metrics. That takes a few more members, written here without
aws-lambda-powertools, whose import takes 44 ms of every cold start.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any, TextIO

from s3archivefs_lambda.accounting import Usage
from s3archivefs_lambda.line_writer import LineHandler, LineWriter
from s3archivefs_lambda.log_lines import LineFormatter, bounded, utc_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Exchange", "write_bare_lines", "write_lines"]

_LOG = logging.getLogger("s3archivefs.requests")

# Characters of what a client may choose.
_MAX_KEY = 1024  # S3's own limit, in bytes
_MAX_ARCHIVES = 4096
_MAX_WORD = 128  # as the ids of access keys at most
_MAX_REASON = 256

_NAMESPACE = "s3archivefs"
_UNITS = {
    "Requests": "Count",
    "Errors": "Count",
    "ClientErrors": "Count",
    "Latency": "Milliseconds",
    "BytesOut": "Bytes",
    "S3Requests": "Count",
    "S3Bytes": "Bytes",
    "CacheHits": "Count",
    "CacheMisses": "Count",
}
_DEFINITIONS = [{"Name": name, "Unit": unit} for name, unit in _UNITS.items()]


def write_bare_lines(stream: TextIO) -> None:
    """Write the request log to `stream`, each line by itself."""
    _LOG.addHandler(logging.StreamHandler(stream))
    _LOG.propagate = False


def write_lines(stream: TextIO) -> LineWriter:
    """Write the request log to `stream`, and all other lines with the time before them.

    Return what writes them.
    """
    writer = LineWriter(stream)
    handler = LineHandler(writer)
    handler.setFormatter(LineFormatter(bare=_LOG.name))
    logging.basicConfig(handlers=[handler])
    _LOG.addHandler(handler)
    _LOG.propagate = False
    return writer


def _write(line: str) -> None:
    handlers = _LOG.handlers
    if handlers and isinstance(handlers[0], LineHandler):
        handlers[0].write(line)  # a record of `logging` would take five times as long
    else:
        _LOG.info("%s", line)


@dataclass(slots=True, kw_only=True)
class Exchange:
    """A request and its answer so far, as its line tells them."""

    request_id: str
    emf: bool
    """Whether the line is to carry metrics."""
    count: Callable[[Exchange, float], None] | None = None
    """What counts it when it has ended, after so many seconds."""
    method: str | None = None
    """Of HTTP; None in Object Lambda, as is the next."""
    client: str | None = None
    """The address at the other end of the connection."""
    operation: str | None = None
    bucket: str | None = None
    """The one that is named; None in Object Lambda."""
    key: str | None = None
    access_key_id: str | None = None
    """The key that signed it, or is said to have signed it; None for none."""
    error: str | None = None
    """The S3 code that the client gets."""
    refused: str | None = None
    """Why a signature, or the lack of one, was refused."""
    status: int = 0
    """Of HTTP, as the client gets it; 0 for none."""
    bytes_sent: int = 0
    failed: bool = False
    """Whether the answer broke off, whatever its status said."""
    usage: Usage = field(default_factory=Usage)
    arrived: float = field(default_factory=time.time)
    """When the request arrived, in seconds since the epoch."""
    started: float = field(default_factory=time.monotonic)
    """The same on the monotonic clock."""

    def log(self) -> None:
        """Write the request's line, and have it counted."""
        usage, seconds = self.usage, time.monotonic() - self.started
        line: dict[str, Any] = {"time": utc_time(self.arrived), "operation": self.operation}
        if self.method is not None:
            line |= {"method": bounded(self.method, _MAX_WORD), "client": self.client}
        archives = ", ".join(map(str, usage.archives))
        line |= {
            "access_key_id": _bounded(self.access_key_id, _MAX_WORD),
            **({} if self.method is None else {"bucket": _bounded(self.bucket, _MAX_WORD)}),
            "key": _bounded(self.key, _MAX_KEY),
            "archive": bounded(archives, _MAX_ARCHIVES) or None,
            "status": self.status or None,
            "error": self.error,
            **({} if self.refused is None else {"refused": bounded(self.refused, _MAX_REASON)}),
            "bytes": self.bytes_sent,
            **usage.figures,
            "ms": round(seconds * 1000, 1),
            "request_id": bounded(self.request_id, _MAX_WORD),
        }
        if usage.stale:
            line["stale"] = True
        if self.emf:
            line |= _metrics(line, failed=self.failed)
        _write(_object(line))
        if self.count is not None:
            self.count(self, seconds)


def _object(members: Mapping[str, Any]) -> str:
    """Return a JSON object; its names are plain. `json.dumps` takes five times as long for it."""
    texts = []
    for name, value in members.items():
        if value is None:
            texts.append(f'"{name}": null')
        elif type(value) is str:
            texts.append(f'"{name}": {encode_basestring_ascii(value)}')
        elif type(value) is int or type(value) is float:  # which is neither infinite nor no number
            texts.append(f'"{name}": {value!r}')
        else:
            texts.append(f'"{name}": {json.dumps(value)}')
    return f"{{{', '.join(texts)}}}"


def _bounded(text: str | None, limit: int) -> str | None:
    return None if text is None else bounded(text, limit)


def _metrics(line: Mapping[str, Any], *, failed: bool) -> dict[str, Any]:
    """Return the members that make a line a document of the embedded metric format."""
    # Over all operations, as alarms want it, and by operation. A dimension's value must be a
    # string, so a request without an operation counts in the former alone.
    dimensions: list[list[str]] = [[]] if line["operation"] is None else [[], ["operation"]]
    status = line["status"] or 0
    directive = {"Namespace": _NAMESPACE, "Dimensions": dimensions, "Metrics": _DEFINITIONS}
    return {
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]},
        "Requests": 1,
        "Errors": int(failed or status >= 500),
        "ClientErrors": int(400 <= status < 500),
        "Latency": line["ms"],
        "BytesOut": line["bytes"],
        "S3Requests": line["s3_requests"],
        "S3Bytes": line["s3_bytes"],
        "CacheHits": line["cache_hits"],
        "CacheMisses": line["cache_misses"],
    }
