"""Load from wrk, which keeps its connections open and is not a server's bottleneck.

wrk takes 5 to 15 µs a request, of the same processors. A script gives it the requests, and prints
what it counted.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from benchmarks.endpoint.servers import ACCESS_KEY, SECRET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.endpoint.servers import Running

__all__ = ["Load", "press"]

_THREADS = 1
"""wrk's: one is enough, and leaves the server the other processors."""
_SCRIPT = """
local requests = {{
{requests}
}}
math.randomseed(os.clock() * 1000000)
request = function() return requests[math.random(#requests)] end
done = function(summary, latency)
    local errors = summary.errors
    local faults = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("counted %d %d %.0f %d %d %d\\n", summary.requests, summary.duration,
        summary.bytes, latency:percentile(50), latency:percentile(99), faults))
end
"""


class Load(NamedTuple):
    """What one run counted."""

    per_second: float
    """Answers."""
    bytes_per_second: float
    median_ms: float
    p99_ms: float
    faults: int
    """Errors of any kind."""
    processor_us: float
    """Processor time of the server for each answer."""


def press(
    running: Running,
    targets: Sequence[str],
    directory: Path,
    *,
    connections: int,
    seconds: int,
    is_signed: bool,
) -> Load:
    """Ask for targets, drawn at random, for some seconds."""
    script = directory / "requests.lua"
    requests = _signed(running, targets) if is_signed else _plain(running, targets)
    script.write_text(_SCRIPT.format(requests=",\n".join(map(_quoted, requests))))
    command = ["wrk", "-t", str(_THREADS), "-c", str(connections), "-d", str(seconds)]
    began = running.processor_seconds
    output = subprocess.run(
        [*command, "--timeout", "60", "-s", str(script), running.url],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    spent = running.processor_seconds - began
    counted = next(line for line in output.splitlines() if line.startswith("counted "))
    answers, duration, size, median, p99, faults = map(int, counted.split()[1:])
    return Load(
        per_second=answers / duration * 1e6,
        bytes_per_second=size / duration * 1e6,
        median_ms=median / 1000,
        p99_ms=p99 / 1000,
        faults=faults,
        processor_us=spent / max(1, answers) * 1e6,
    )


def _plain(running: Running, targets: Iterable[str]) -> Iterable[str]:
    host = running.url.removeprefix("http://")
    return (f"GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n" for target in targets)


def _signed(running: Running, targets: Iterable[str]) -> Iterable[str]:
    """Yield requests as botocore signs them: good for a quarter of an hour."""
    credentials = botocore.credentials.Credentials(ACCESS_KEY, SECRET)
    signer = botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1")
    for target in targets:
        request = botocore.awsrequest.AWSRequest("GET", running.url + target)
        request.context["payload_signing_enabled"] = False
        signer.add_auth(request)
        fields = {"Host": running.url.removeprefix("http://"), **dict(request.headers.items())}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        yield f"GET {target} HTTP/1.1\r\n{head}\r\n"


def _quoted(text: str) -> str:
    """Return a string of Lua: requests are printable but for the ends of lines."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r\n", "\\r\\n")
    return f'"{escaped}"'
