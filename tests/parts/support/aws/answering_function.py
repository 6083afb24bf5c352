"""A function behind the Object Lambda stand-in that answers by key, rightly and wrongly.

Run by the real awslambdaric; a key that it does not know is answered with the event as JSON.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LONG = [b"x" * 100_000] * 50

s3 = boto3.client(
    "s3",
    config=Config(
        inject_host_prefix=False,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path", "payload_signing_enabled": False},
    ),
)
invocations = 0


class Pieces:
    """A body that is sent as it is made: in chunks unless the length is given beside it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, amount: int = -1) -> bytes:
        return next(self._pieces, b"")


def handler(event: dict[str, Any], context: object) -> object:
    global invocations  # noqa: PLW0603 - it tells whether the process is new
    invocations += 1
    [details] = [value for name, value in event.items() if name.endswith("Context")]
    key = unquote(urlsplit(details["inputS3Url"]).path)[1:]
    if key == "nothing":
        return None
    if key == "raise":
        raise RuntimeError("on purpose")
    if key == "hang":
        signal.pause()
    if "getObjectContext" not in event:
        return result(event, key)
    token = {"RequestRoute": details["outputRoute"], "RequestToken": details["outputToken"]}
    if key == "twice":
        write(token | {"Body": b"first"})
    respond = RESPONSES.get(key, lambda: {"Body": json.dumps(event).encode()})
    write(token | respond())
    return None


def write(arguments: dict[str, Any]) -> None:
    """Respond, and log a refusal."""
    try:
        s3.write_get_object_response(**arguments)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        print("refused", error.response["Error"]["Code"], status)


def read_archive() -> bytes:
    return s3.get_object(Bucket="archives", Key="a", Range="bytes=2-4")["Body"].read()


def from_fifo() -> Iterator[bytes]:
    yield b"first"
    yield Path(os.environ["FIFO"]).read_bytes()


def broken() -> Iterator[bytes]:
    yield b"x" * 10
    raise OSError("the archive is gone")


# What is responded to a GetObject of these keys, made anew for each.
RESPONSES: dict[str, Callable[[], dict[str, Any]]] = {
    "archive": lambda: {"Body": read_archive()},
    "bad-code": lambda: {"StatusCode": 404, "ErrorCode": "no such key"},
    "bad-route": lambda: {"RequestRoute": "io-use1-999"},
    "bad-status": lambda: {"StatusCode": 501},
    "broken": lambda: {"Body": Pieces(broken()), "ContentLength": 20},
    "chunks": lambda: {"Body": Pieces(LONG)},
    "error-and-body": lambda: {"StatusCode": 404, "ErrorCode": "NoSuchKey", "Body": b"x"},
    "error-and-success": lambda: {"StatusCode": 200, "ErrorCode": "NoSuchKey"},
    "from-fifo": lambda: {"Body": Pieces(from_fifo())},
    "invocations": lambda: {"Body": str(invocations).encode()},
    "length": lambda: {"Body": Pieces(LONG), "ContentLength": 5_000_000},
    "short": lambda: {"Body": b"45"},
}


def result(event: dict[str, Any], key: str) -> dict[str, Any]:
    """The result for a HeadObject of `key`, or for a listing."""
    match key:
        case "malformed":
            return {"statusCode": "200"}
        case "no-length":
            return {"statusCode": 200, "headers": {}}
    if "headObjectContext" in event:
        headers = {"Content-Length": 7, "ETag": '"tag"', "x-amz-meta-a": "b"}
        return {"statusCode": 200, "headers": {**headers, "x-amz-delete-marker": False}}
    return {
        "statusCode": 200,
        "listResultXml": "<ListBucketResult><Name>archive</Name><KeyCount>1</KeyCount>"
        "<Contents><Key>ü</Key><Size>3</Size></Contents></ListBucketResult>",
    }
