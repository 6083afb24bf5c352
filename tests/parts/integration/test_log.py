"""The log of `s3archivefs serve`, whatever clients send."""

from __future__ import annotations

import json
import re
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.adapter.signed_requests import (
    ACCESS_KEY,
    SECRET,
    Sent,
    presigned,
    presigned_v2,
    request_of,
    signed,
)
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE = Path(__file__).parents[3] / "fixtures" / "gzip.sqfs"
KEYS = {
    "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": ACCESS_KEY,
    "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": SECRET,
}
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
LONG = 60_000
MOST_OF_A_LINE = 48 * 1024
FORGED = "%0a%7b%22operation%22:%20%22forged%22%7d%0a"


@contextmanager
def serving(log: Path, environ: dict[str, str]) -> Iterator[str]:
    """The endpoint over one image; its log is whole afterwards."""
    with served("--map", f"docs={IMAGE}", environ=environ, log=log) as url:
        yield url


def ask(url: str, sent: Sent) -> int:
    """The status of the answer to a request, put as bytes on a connection of its own."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
    head = f"{sent.method} {sent.target} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n"
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(head.encode("latin-1"))
        answer = b""
        while data := connection.recv(65536):
            answer += data
    return int(answer.split(b" ", 2)[1])


def hostile() -> dict[str, Sent]:
    """Requests that try to write lines of their own, or long ones."""
    long = "x" * LONG
    return {
        "key": signed(f"/archive/docs/{FORGED}"),
        "long key": signed(f"/archive/docs/{long}"),
        "key of control characters": signed(f"/archive/docs/{'%00%1b%0d%0a%e2%80%a8' * 3000}"),
        "bucket": signed(f"/{FORGED}"),
        "no such bucket": request_of("GET", f"/{FORGED}{'%0a' * 15_000}/k", {}),
        "query": signed(f"/archive?list-type=2&prefix={FORGED}"),
        "long query": signed(f"/archive?list-type=2&start-after={'%0a' * 15_000}"),
        "unknown key": presigned_v2().query(ACCESS_KEY, f"{FORGED}{'%00' * 10_000}"),
        "unknown key, version 4": presigned().query(ACCESS_KEY, f"{FORGED}{'%f0%9f%92%a9' * 4000}"),
        "expiry": presigned_v2().query("Expires=", f"Expires={FORGED}"),
        "headers signed": presigned().query("SignedHeaders=", f"SignedHeaders={'%0a' * 9000}"),
        "headers not signed": signed().with_headers(**{f"x_amz_{'a' * LONG}": "1"}),
        "authorization": request_of("GET", "/archive/docs/x", {"Authorization": long}),
        "long method": request_of("X" * LONG, "/archive/docs/x", {}),
        "forwarded": signed().with_headers(
            x_forwarded_for="203.0.113.9", forwarded="for=203.0.113.9", x_real_ip="203.0.113.9"
        ),
        "broken escape": request_of("GET", "/archive/docs/%zz", {}),
    }


@pytest.mark.parametrize("environ", [KEYS, {}], ids=["signed", "open"])
def test_each_line_is_one_line_with_its_time_and_of_bounded_length(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    requests = hostile()
    with serving(tmp_path / "log", environ) as url:
        for name, sent in requests.items():
            assert ask(url, sent) >= 200, name
    written = (tmp_path / "log").read_text("utf-8").removesuffix("\n").split("\n")
    lines = [json.loads(line) for line in written if line.startswith("{")]
    assert len(lines) == len(requests)
    for line in lines:
        assert re.fullmatch(TIME, line["time"])
        assert line["client"] == "127.0.0.1"
        assert line["operation"] != "forged"
        assert {"access_key_id", "key", "status", "error"} <= line.keys()
    for text in written:
        assert text.startswith("{") or re.match(f"{TIME} ", text)
        assert text.isprintable()
        assert len(text) < MOST_OF_A_LINE
    assert "203.0.113.9" not in "".join(written)
    assert SECRET not in "".join(written)


def test_what_is_no_request_is_a_line_with_its_time_and_the_client(tmp_path: Path) -> None:
    bad = Sent("GET", f"/archive/docs/{'x' * 70_000}", {"host": "127.0.0.1"})
    with serving(tmp_path / "log", {}) as url:
        assert ask(url, bad) >= 400
    (line,) = (tmp_path / "log").read_text("utf-8").splitlines()
    assert re.match(f"{TIME} http: request [0-9A-F]{{16}} from 127.0.0.1: ", line)


def test_the_log_names_the_signer_and_why_a_request_was_refused(tmp_path: Path) -> None:
    with serving(tmp_path / "log", KEYS) as url:
        host = urlsplit(url).netloc
        for sent in (presigned_v2("/archive"), presigned_v2("/archive", "HEAD")):
            assert ask(url, sent.with_headers(host=host)) == 200
        assert ask(url, presigned_v2("/archive", "HEAD").query("Signature=", "Signature=0")) == 403
        assert ask(url, request_of("GET", "/archive", {})) == 403
    lines = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    told = [(line["access_key_id"], line["error"], line.get("refused")) for line in lines]
    assert told == [
        (ACCESS_KEY, None, None),
        (ACCESS_KEY, None, None),
        (ACCESS_KEY, "SignatureDoesNotMatch", "signature does not match"),
        (None, "AccessDenied", "not signed"),
    ]
