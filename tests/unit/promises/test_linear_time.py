"""Text from outside costs time in proportion to its length, whatever it says: every parser of it.

That no pattern can do otherwise is shown by tests/unit/test_patterns.py.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache, partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from s3archivefs import open as open_image
from s3archivefs.cli.colours import Colours
from s3archivefs.filesystem.patterns import matcher
from s3archivefs.printed import unprinted
from s3archivefs_lambda.bucket.headers import overrides
from s3archivefs_lambda.commands.upload_settings import part_bytes, storage_class
from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.location import parse_bucket_location, parse_location
from s3archivefs_lambda.config.prefix_map import parse_mapping
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier, claimed_signer
from s3archivefs_lambda.endpoint.browsing.page import BrowsedOperations
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.head import HeadBuffer
from s3archivefs_lambda.endpoint.hosts import Hosts
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.endpoint.proxies import Proxies
from s3archivefs_lambda.endpoint.request_target import parse_target
from s3archivefs_lambda.endpoint.signature import SignedRequest
from s3archivefs_lambda.object_lambda.events import parse_event
from s3archivefs_lambda.s3api.buckets import list_buckets
from s3archivefs_lambda.s3api.conditions import check_preconditions, check_version
from s3archivefs_lambda.s3api.dates import parse_http_date
from s3archivefs_lambda.s3api.listing import ListPage, ListRequest, encode_token
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from s3archivefs_lambda.s3api.ranges import apply_if_range, parse_range, select_range
from s3archivefs_lambda.text import to_bytes
from tests.support.adapter.local_archives import operations_on
from tests.support.images.fixtures import FIXTURES
from tests.support.laws.linear_time import SIZES, costs_linear_time, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATTERNS = KeyPatterns(("*.sqfs", "a*b*.sqfs"))
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME = "20260102T030405Z"
KEY_ID = "AKIDEXAMPLE"
SCOPE = f"{KEY_ID}/20260102/us-east-1/s3/aws4_request"
ETAG = '"0123456789abcdef-1"'


class Parser(NamedTuple):
    """What reads text from outside, and the words that mean something to it."""

    name: str
    read: Callable[[str], object]
    words: tuple[str, ...]


def named(read: Callable[[str, str], object], **words: tuple[str, ...]) -> Iterator[Parser]:
    """Parsers of what has a name, which `read` is given before the text; `_` stands for `-`."""
    for name, few in words.items():
        dashed = name.replace("_", "-")
        yield Parser(f"{read.__name__} {dashed}", partial(read, dashed), few)


# ---- Requests ------------------------------------------------------------------------------------


PROXIES = Proxies([ip_network("10.0.0.0/8")])


def request(target: str = "/archive/plain/short.txt", **headers: str) -> HttpRequest:
    """GET; in names of headers, `_` stands for `-`."""
    fields = {name.replace("_", "-"): headers[name] for name in headers}
    return HttpRequest(
        method="GET", target=target, headers=tuple(({"host": "localhost"} | fields).items())
    )


def fields(text: str) -> HttpRequest:
    """A request with a header field for each line."""
    lines = [line.partition(":") for line in text.split("\n")]
    return HttpRequest(
        method="GET", target="/archive", headers=tuple((name, value) for name, _, value in lines)
    )


def signed(
    signed_headers: str = "host", credential: str = SCOPE, signature: str = "0", **headers: str
) -> HttpRequest:
    """A request with a Version 4 signature in its header."""
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={signed_headers},"
        f" Signature={signature}"
    )
    given = {"x_amz_date": TIME, "x_amz_content_sha256": "UNSIGNED-PAYLOAD"} | headers
    return request(authorization=authorization, **given)


def presigned(query: str) -> HttpRequest:
    """A request with a Version 4 signature in its query, and more in that."""
    return request(
        f"/archive/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE}&X-Amz-Date={TIME}"
        f"&X-Amz-SignedHeaders=host&X-Amz-Expires=60&X-Amz-Signature=0&{query}"
    )


def head(text: str, pieces: int = 1) -> None:
    """Read the head of a request that arrives in pieces."""
    received = text.encode("latin-1", "replace")
    buffer = HeadBuffer()
    length = max(1, len(received) // pieces)
    for start in range(0, len(received), length):
        buffer.add(received[start : start + length])
        while buffer.take("192.0.2.1") is not None:
            pass


def verify(asked: HttpRequest) -> None:
    """Check the signature with the right key, and write out the refusal."""
    verifier = Verifier(AccessKeys([AccessKey(KEY_ID, "secret")]), clock=NOW.timestamp)
    try:
        verifier.verify(SignedRequest.of(asked, parse_target(asked.target)))
    except S3Error as error:
        error.to_xml("id")


@cache
def application() -> Any:  # noqa: ANN401
    """The endpoint over an image, without credentials."""
    operations = operations_on({"plain": FIXTURES["gzip"].image})
    page = partial(BrowsedOperations, scheme="http")
    return make_app({"archive": ServedBucket(operations)}, verifier=None, page=page)


def answer(asked: HttpRequest) -> None:
    """The whole way of a request."""
    body = application()(asked).answer().body
    try:
        for _ in body:
            pass
    finally:
        body.close()


def header(name: str, text: str) -> None:
    """The whole way of a request with a header."""
    answer(request(**{name: text}))


def field(name: str, text: str) -> None:
    """Read a head with a header field."""
    head(f"GET / HTTP/1.0\r\n{name}: {text}\r\n\r\n")


def page(name: str, text: str) -> None:
    """The whole way of a request for a listing."""
    answer(request(f"/archive?list-type=2&{name}={text}"))


def browse(text: str) -> None:
    """The whole way of a browser's request."""
    answer(request(f"/archive/{text}", accept="text/html"))


def precondition(name: str, text: str) -> None:
    """Hold an object against a header."""
    check_preconditions({name: text}, ETAG, 1.0)


def listing(name: str, text: str) -> None:
    """Read a parameter of a listing, and say it again."""
    for version in (1, 2):
        asked = ListRequest.parse({"encoding-type": "url", name: text}, version)
        ListPage(
            bucket="archive", request=asked, objects=(), common_prefixes=(), continues_at=b"a"
        ).to_xml()


def buckets(name: str, text: str) -> None:
    """Read a parameter of a list of buckets."""
    list_buckets({name: text}, [])


def event(**members: Any) -> object:  # noqa: ANN401
    """Read an event of HeadObject."""
    context = {"inputS3Url": members.pop("inputS3Url", "https://host/plain/short.txt")}
    return parse_event({"headObjectContext": context, "userRequest": members})


QUERY_WORDS = ("&", "=", "%", "%2", "%2F", "+", "?", "a", "/", ";", "X-Amz-", "\xff")
DATE_WORDS = (" ", ",", "-", ":", "+", "9", "Sun", "Jan", "GMT", "2020", "(", "\t")
TOKEN_WORDS = ("=", "-", "_", "A", "\xff", encode_token(b"key"))
LIST_WORDS = (",", " ", '"', "W/", "*", ETAG, "a", "\\")
NUMBER_WORDS = ("0", "9", "-", "+", " ", "_", ".", "e", "\u0661", "a")
PATH_WORDS = ("/", "./", "../", "a/", "docs/", "guide.txt", "%2F", "|", "\xff", "a")
URL_WORDS = ("://", "/", "?", "#", "[", "]", ":", "@", "%", "&Range=", "=", "a")

OF_THE_PROTOCOL = (
    Parser("Range", lambda text: parse_range(text, 10), ("bytes=", " ", "\t", "-", "0", ",", "x")),
    Parser(
        "partNumber",
        lambda text: select_range(S3Request(query={"partNumber": text}), 10),
        NUMBER_WORDS,
    ),
    Parser("versionId", lambda text: check_version({"versionId": text}), ("null", "a")),
    Parser("a date", parse_http_date, DATE_WORDS),
    *named(
        precondition,
        if_match=LIST_WORDS,
        if_none_match=LIST_WORDS,
        if_modified_since=DATE_WORDS,
        if_unmodified_since=DATE_WORDS,
    ),
    Parser(
        "if-range",
        lambda text: apply_if_range(S3Request(headers={"if-range": text}), ETAG),
        LIST_WORDS,
    ),
    Parser(
        "an error",
        lambda text: S3Error(text, 400, text, extra={"Key": text}).to_xml(text),
        ("&", "<", "]]>", "\r", "\0", "\ud800", "a"),
    ),
    Parser(
        "an override",
        lambda text: overrides(S3Request(query={"response-content-type": text})),
        ("\t", " ", "a", "\xff", "\u0100", "\n"),
    ),
    Parser("a target", parse_target, ("http://", "/", *QUERY_WORDS)),
    *named(
        listing,
        prefix=PATH_WORDS,
        delimiter=PATH_WORDS,
        marker=("continue-at:", encode_token(b"key"), *PATH_WORDS),
        start_after=PATH_WORDS,
        max_keys=NUMBER_WORDS,
        encoding_type=("url", "a"),
        continuation_token=TOKEN_WORDS,
    ),
    Parser(
        "a long token",
        lambda text: listing("continuation-token", encode_token(text.encode())),
        PATH_WORDS,
    ),
    *named(buckets, prefix=PATH_WORDS, max_buckets=NUMBER_WORDS, continuation_token=TOKEN_WORDS),
)

OF_SIGNATURES = (
    Parser(
        "authorization",
        lambda text: verify(request(authorization=text)),
        ("AWS4-HMAC-SHA256 ", "Credential=", "SignedHeaders=", ",", " ", "=", "AWS ", "/"),
    ),
    Parser("credential", lambda text: verify(signed(credential=text)), ("/", SCOPE, "a", " ")),
    Parser("signed headers", lambda text: verify(signed(text)), (";", "host", "x-amz-date", "a")),
    Parser(
        "a signature", lambda text: verify(signed(signature=text)), ("0", "a", "=", " ", "\xff")
    ),
    Parser("x-amz-date", lambda text: verify(signed(x_amz_date=text)), (TIME, *NUMBER_WORDS)),
    Parser("payload hash", lambda text: verify(signed(x_amz_content_sha256=text)), ("0", "a", "G")),
    Parser(
        "a signed header, and how often it is signed",
        lambda text: verify(
            signed(
                "host;x-amz-content-sha256;x-amz-date" + ";x-amz-meta-a" * (len(text) // 26),
                x_amz_meta_a=text[: len(text) // 2],
            )
        ),
        (" ", "\t", "a", ",", "\xff", "a "),
    ),
    Parser("a signed query", lambda text: verify(presigned(text)), QUERY_WORDS),
    Parser(
        "Version 2",
        lambda text: verify(
            request(f"/archive/k?AWSAccessKeyId={KEY_ID}&Expires=1800000000&Signature=0&{text}")
        ),
        ("&acl", "&x-amz-a=", "\n", "%0A", *QUERY_WORDS),
    ),
    Parser(
        "who claims to have signed",
        lambda text: claimed_signer(
            SignedRequest.of(request("/?" + text), parse_target("/?" + text))
        ),
        ("&", "X-Amz-Signature=", "X-Amz-Credential=", "Signature", "=", "/"),
    ),
    Parser(
        "host",
        Hosts(["example.com"]).read,
        (":", "[", "]", "0", "1.", "::", "%", "localhost", "f"),
    ),
    Parser(
        "X-Forwarded-For",
        lambda text: PROXIES.client_of(
            HttpRequest(
                method="GET", target="/", headers=(("x-forwarded-for", text),), client="10.0.0.1"
            )
        ),
        (",", "10.0.0.1", "10.0.0.1,", ".", ":", "[", "]", "0", " "),
    ),
)

HEAD_WORDS = ("\r\n", "GET / HTTP/1.1\r\n", "host:", ":", " ", "\t", "a", "\xff", "\r", "\n")

OF_HEADS = (
    Parser("a head", head, HEAD_WORDS),
    Parser("a head in pieces", lambda text: head(text, 4096), HEAD_WORDS),
    Parser(
        "a request line",
        lambda text: head(f"GET {text} HTTP/1.1\r\nhost: a\r\n\r\n"),
        ("/", "http://", "?", "[", "]", ":", "@", "%", "a", "\xff", " ", "1"),
    ),
    *named(
        field,
        host=("[", "]", ":", "a", ".", "%", "1", "f"),
        connection=(",", " ", "close", "keep-alive", "\t"),
        content_length=NUMBER_WORDS,
        transfer_encoding=("chunked", ",", " "),
    ),
)

OF_THE_ENDPOINT = (
    Parser("a key", lambda text: answer(request("/archive/plain/" + text)), PATH_WORDS),
    Parser("a key below the root", lambda text: answer(request("/archive/" + text)), PATH_WORDS),
    Parser("a query", lambda text: answer(request("/archive?" + text)), QUERY_WORDS),
    Parser(
        "a query of an object",
        lambda text: answer(request("/archive/plain/short.txt?" + text)),
        QUERY_WORDS,
    ),
    Parser(
        "header fields",
        lambda text: answer(fields("host:localhost\n" + text)),
        ("\n", ":", "a", "range", ",", "\0"),
    ),
    *named(
        header,
        range=("bytes=", " ", "-", "0", ","),
        if_none_match=LIST_WORDS,
        if_modified_since=DATE_WORDS,
    ),
    *named(page, prefix=PATH_WORDS, delimiter=PATH_WORDS, start_after=PATH_WORDS),
    Parser("page of directories", lambda text: page("delimiter=/&prefix", text), PATH_WORDS),
    Parser(
        "accept",
        lambda text: answer(request("/archive/", accept=text)),
        (",", ";", "text/html", "q=", "0.", "1", " ", "application/xml"),
    ),
    Parser("a directory for a browser", lambda text: browse(text + "/"), PATH_WORDS),
    Parser("an object for a browser", lambda text: browse(f"a{text}?preview"), PATH_WORDS),
    Parser("a search", lambda text: browse(f"?find={text}"), QUERY_WORDS),
    Parser("a search that goes on", lambda text: browse(f"?find=a&after={text}"), TOKEN_WORDS),
)

OF_EVENTS = (
    Parser("inputS3Url", lambda text: event(inputS3Url=text), URL_WORDS),
    Parser("url", lambda text: event(url=text), URL_WORDS),
    Parser("url of a key", lambda text: event(url="/plain/short.txt?" + text), QUERY_WORDS),
    Parser(
        "headers", lambda text: event(headers=dict.fromkeys(text.split("\n"), "a")), ("a", "\n")
    ),
)


def setting(name: str, text: str) -> None:
    """Read one setting."""
    Config.from_environ({"S3ARCHIVEFS_" + name.replace("-", "_"): text})


OF_SETTINGS = (
    *named(
        setting,
        CACHE_CHUNK_SIZE=NUMBER_WORDS,
        REVALIDATE_SECONDS=NUMBER_WORDS,
        METRICS=("emf", " "),
        PREFIX_VMAP1=("a|s3://bucket/", *PATH_WORDS),
    ),
    Parser(
        "a name of a setting",
        lambda text: setting(text, "1"),
        ("CACHE_", "LIMIT_BYTES", "A", "a", "PREFIX_VMAP"),
    ),
    Parser("a mapping", lambda text: parse_mapping(text, "here"), ("|", "s3://", " ", *PATH_WORDS)),
    Parser(
        "s3://", lambda text: parse_location("s3://" + text), ("a", ".", "-", "0", "/", "?", "0.")
    ),
    Parser(
        "an access point",
        lambda text: parse_location("s3://arn:aws" + text),
        (":s3:", ":", "a", "-", "0", ".", "/", "a.", ":s3::012345678901:accesspoint/"),
    ),
    Parser("file://", lambda text: parse_location("file://" + text), PATH_WORDS),
    Parser(
        "s3://bucket",
        lambda text: parse_bucket_location("s3://bucket" + text),
        ("/", "a", *PATH_WORDS),
    ),
    Parser(
        "a key of a bucket",
        lambda text: [*PATTERNS.above(to_bytes(text)), *PATTERNS.beside(to_bytes(text))],
        ("/", ".sqfs/", "a-", "-b.sqfs", ".sqfs-", "a"),
    ),
    Parser(
        "a path that a pattern is matched with",
        matcher("**/a*a*b/**/*a*b"),
        ("/", "a", "b", "a/b/"),
    ),
    Parser("--part-size", lambda text: part_bytes(text, {}), NUMBER_WORDS),
    Parser("--storage-class", lambda text: storage_class(text, {}), ("INT", "a")),
)


@cache
def image() -> Any:  # noqa: ANN401
    """An image of the reader's own."""
    return open_image(FIXTURES["gzip"].image)


OF_THE_READER = (
    Parser("a path", lambda text: image().stat(text), PATH_WORDS),
    Parser("a directory", lambda text: image().listdir("/" + text), PATH_WORDS),
    Parser("where to start", lambda text: next(image().scandir("/", start=text), None), PATH_WORDS),
    Parser("what to open", open_image, URL_WORDS),
    Parser("LS_COLORS", Colours, ("di=", "*.", "=", ":", "01;34", "\x1b", "a")),
    Parser("a printed name", unprinted, ("\\", "\\x41", "\\x", "/", "a", "\udcff")),
)

PARSERS = (
    *OF_THE_PROTOCOL,
    *OF_SIGNATURES,
    *OF_HEADS,
    *OF_THE_ENDPOINT,
    *OF_EVENTS,
    *OF_SETTINGS,
    *OF_THE_READER,
)


# ---- The property --------------------------------------------------------------------------------


@pytest.mark.property
@settings(max_examples=settings().max_examples // 4, phases=(Phase.generate,))
@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@given(data=st.data())
def test_text_costs_time_in_proportion_to_its_length(parser: Parser, data: st.DataObject) -> None:
    text = data.draw(texts(parser.words))
    for size in SIZES:
        assert costs_linear_time(parser.read, text(size)), f"{size} characters"


def test_what_takes_longer_is_found() -> None:
    pattern = re.compile(r" * *x")  # of spaces, a search takes the cube
    assert costs_linear_time(pattern.search, " " * (1 << 6))
    assert not costs_linear_time(pattern.search, " " * (1 << 10))


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        ("Range", "bytes=" + " " * 1000 + "-" + " " * 1000 + "x"),
        ("a name of a setting", "LIMIT_BYTES" * 6000),
        ("a key of a bucket", "/.sqfs-" * 146),
    ],
)
def test_what_has_taken_longer_once(parser: str, text: str) -> None:
    (found,) = (each for each in PARSERS if each.name == parser)
    assert costs_linear_time(found.read, text)
