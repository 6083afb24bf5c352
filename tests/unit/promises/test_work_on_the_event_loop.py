"""A head of 60 KB costs the event loop no more calls than it may have bytes, whatever it says.

All clients of a worker wait for its event loop. There heads are read, signatures are checked, and
what is at hand is answered.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.archive_lanes import ArchiveLanes
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.browsing.page import BrowsedOperations
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.cors import Cors
from s3archivefs_lambda.endpoint.head import MAX_HEAD_BYTES, HeadBuffer, MalformedHeadError
from s3archivefs_lambda.endpoint.proxies import Proxies
from tests.support.adapter.local_archives import operations_on
from tests.support.images.fixtures import FIXTURES
from tests.support.laws.counted_calls import calls_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs_lambda.endpoint.messages import HttpApplication

BYTES = 60_000
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME = "20260102T030405Z"
SCOPE = "AKIDEXAMPLE/20260102/us-east-1/s3/aws4_request"
VERSION_4 = (
    f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE}&X-Amz-Date={TIME}"
    "&X-Amz-SignedHeaders=host&X-Amz-Expires=60&X-Amz-Signature=0"
)
VERSION_2 = f"AWSAccessKeyId=AKIDEXAMPLE&Expires={int(NOW.timestamp()) + 60}&Signature=0"
HTML = "Accept: text/html"


def again(word: str) -> str:
    """The word over and over."""
    return word * (BYTES // len(word))


def numbered(word: str, count: int) -> str:
    """The word with each of so many numbers."""
    return "".join(word.format(f"{number:x}") for number in range(count))


def signed_header(names: str = "host;x-amz-content-sha256;x-amz-date") -> str:
    """A signature of Version 4 in the header."""
    return (
        f"Authorization: AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders={names},"
        f" Signature=0\r\nx-amz-date: {TIME}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD"
    )


def head(target: str, *fields: str) -> bytes:
    """A head of a request."""
    lines = [f"GET {target} HTTP/1.1", "Host: localhost", *(field for field in fields if field)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def asked(path: str, query: str = "", *fields: str) -> list[bytes]:
    """Heads that ask for it: unsigned, as a browser, and with each kind of signature."""
    return [
        head(f"{path}?{query}", *fields),
        head(f"{path}?{query}", *fields, HTML),
        head(f"{path}?{query}", *fields, signed_header()),
        head(f"{path}?{VERSION_4}&{query}", *fields),
        head(f"{path}?{VERSION_2}&{query}", *fields),
    ]


KEY = "/archive/plain/short.txt"
HEADS = {
    "nothing special": asked(KEY),
    **{
        f"a query of many {word}": asked(KEY, again(word))
        for word in (
            *("a&", "&", "a=&", "a=b&", "%41&", "\xe9&", "%e9&", "cors&", "prefix=a&"),
            *("X-Amz-a&", "x-amz-a=1&"),
        )
    },
    "a query of many names": asked(KEY, numbered("{}&", 11_000)),
    **{
        f"a parameter of many {word}": asked(KEY, "prefix=" + again(word))
        for word in ("%", "%zz", "%%41", "%41", "=", "+", "\xff", "../", "%2f")
    },
    **{
        f"a path of many {word}": asked("/archive/plain/" + again(word)[:-1500])
        for word in ("/", "a/", "../", "a/../", "\xff", "~", "*.sqfs/")
    },
    "a path of many %41": asked("/archive/plain/" + "%41" * 19_000),
    **{
        f"a field {name} of many {word}": asked(KEY, "", f"{name}: {again(word)}")
        for name, word in (
            *(("Cookie", "a=b;"), ("Accept", "text/html;q=0,"), ("Accept-Encoding", "*,")),
            *(("Connection", "a,"), ("Range", "bytes=0-1,"), ("If-None-Match", '"",')),
            *(("x-amz-object-attributes", "Checksum,"), ("x-amz-a", "a  "), ("Origin", "https://")),
        )
    },
    "a signature of many parts": [head(KEY, "Authorization: AWS4-HMAC-SHA256 " + again(","))],
    "a signature of many headers": [
        head(KEY, signed_header(again(word) + "host")) for word in ("host;", "x-amz-date;", "a;")
    ],
    "a credential of many slashes": asked(KEY, VERSION_4.replace(SCOPE, again("/"))),
    "a host of many labels": [head("http://" + again("a.") + KEY)],
    "proxies": asked(KEY, "", "X-Forwarded-For: " + numbered("::{},", 8000) + "::1"),
    "many fields": asked(KEY, "", again("a:\r\n").rstrip()),
    "many fields of S3": asked(KEY, "", numbered("x-amz-{}:\r\n", 4500).rstrip()),
    "many signed fields": [
        head(KEY, numbered("{}:\r\n", 4500), signed_header(numbered("{};", 4500) + "host"))
    ],
}


@pytest.fixture(scope="module")
def applications() -> list[HttpApplication]:
    """The endpoint over an image, with credentials and without."""
    keys = AccessKeys([AccessKey("AKIDEXAMPLE", "secret", {"archive": ("plain/",)})])
    make = partial(
        make_app,
        {"archive": ServedBucket(operations_on({"plain": FIXTURES["gzip"].image}))},
        proxies=Proxies([ip_network("192.0.2.0/24"), ip_network("::/0")]),
        cors=Cors(["https://*.example.com"]),
        page=partial(BrowsedOperations, scheme="http"),
    )
    return [make(verifier=Verifier(keys, clock=NOW.timestamp)), make(verifier=None)]


def read_and_answered(app: HttpApplication, received: bytes) -> Callable[[], None]:
    """What the event loop does with a head."""

    def do() -> None:
        buffer = HeadBuffer()
        buffer.add(received)
        try:
            found = buffer.take("192.0.2.1")
        except MalformedHeadError:
            return
        assert found is not None
        response = app(found.request).at_once()
        if response is not None:
            for _ in response.body:
                pass
            response.body.close()

    return do


@pytest.mark.parametrize("heads", HEADS.values(), ids=HEADS.keys())
def test_no_head_costs_more_calls_than_it_may_have_bytes(
    heads: list[bytes], applications: list[HttpApplication]
) -> None:
    for received in heads:
        for app in applications:
            assert calls_of(read_and_answered(app, received)) < MAX_HEAD_BYTES, received[:200]


def test_a_key_longer_than_any_of_s3_costs_no_more_to_find_its_lane() -> None:
    location = Location("s3", "bucket", "")
    mapping = PrefixMapping("m", location, "here", "archive", KeyPatterns(("*.sqfs",)))
    lanes = ArchiveLanes(PrefixMap.from_mappings([mapping]))
    one_key = calls_of(lambda: lanes.of_object("m/" + "a/" * 511))
    for word in ("/", "a/", "m/"):
        for find in (lanes.of_object, lanes.of_listing):
            assert calls_of(partial(find, "m/" + again(word))) < 3 * one_key
