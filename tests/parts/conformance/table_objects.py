"""GetObject and HeadObject: ranges, parts, preconditions, headers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.parts.conformance.cases import ANYTHING, DATE, Case, Scope
from tests.parts.conformance.keys import BUCKET, CONTENTS, PAGE
from tests.parts.conformance.wire import (
    Request,
    anonymous,
    presigned,
    presigned_in_version_2,
    signed,
    with_authorization,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TEN = CONTENTS["objects/ten"]
ETAG = re.compile(r'"(?![0-9a-f]{32}").+"')
"""An ETag that no client takes for an MD5."""
PAST, FUTURE = "Sat, 29 Oct 1994 19:43:31 GMT", "Sat, 29 Oct 2100 19:43:31 GMT"


def get(
    case: str,
    key: str,
    sent: Mapping[str, str] | None = None,
    **expected: object,
) -> Case:
    """GetObject of a key below `objects/`; `sent` are headers of the request."""
    request = Request(key="objects/" + key, headers=sent or {})
    return Case(id=case, request=request, **expected)  # type: ignore[arg-type]  # Case's fields


def with_heads(cases: Iterable[Case]) -> Iterator[Case]:
    """The cases, and for each the same of HeadObject, which has no body."""
    for case in cases:
        yield case
        length = {} if case.body is None else {"Content-Length": str(len(case.body))}
        yield replace(
            case,
            id="head " + case.id,
            request=replace(case.request, method="HEAD"),
            headers=length | dict(case.headers),
            body=None,
        )


# ---- Ranges --------------------------------------------------------------------------------------


def ranged(case: str, key: str, header: str, first: int, last: int) -> Case:
    """A range that is served; `last` is the last byte of it."""
    content = CONTENTS["objects/" + key]
    return get(
        case,
        key,
        {"Range": header},
        status=206,
        headers={
            "Content-Range": f"bytes {first}-{last}/{len(content)}",
            "Content-Length": str(last - first + 1),
            "Content-Type": "binary/octet-stream",
            "ETag": "{etag}",
        },
        body=content[first : last + 1],
    )


def ignored(header: str) -> Case:
    """A range that is no range, or not one: the object is served whole."""
    headers = {"Content-Range": None, "Content-Length": "10", "ETag": "{etag}"}
    return get(f"range {header} is ignored", "ten", {"Range": header}, headers=headers, body=TEN)


def unsatisfiable(case: str, key: str, header: str) -> Case:
    """A range of which the object has nothing."""
    return get(
        case,
        key,
        {"Range": header},
        status=416,
        code="InvalidRange",
        message="The requested range is not satisfiable",
        details={
            "RangeRequested": header,
            "ActualObjectSize": str(len(CONTENTS["objects/" + key])),
        },
    )


RANGES = (
    ranged("test_ranged_request_response_code", "eleven", "bytes=4-7", 4, 7),
    ranged("test_ranged_request_skip_leading_bytes_response_code", "eleven", "bytes=4-", 4, 10),
    ranged("test_ranged_request_return_trailing_bytes_response_code", "eleven", "bytes=-7", 4, 10),
    ranged("test_ranged_big_request_response_code", "big", "bytes=3145728-5242880", 3145728,
           5242880),
    unsatisfiable("test_ranged_request_invalid_range", "eleven", "bytes=40-50"),
    unsatisfiable("test_ranged_request_empty_object", "empty", "bytes=40-50"),
    *(
        ranged(f"range {header}", "ten", header, first, last)
        for header, first, last in (
            ("bytes=0-8", 0, 8),
            ("bytes=1-", 1, 9),
            ("bytes=-2", 8, 9),
            ("bytes=-15", 0, 9),
            ("bytes=0-100", 0, 9),
            ("bytes=0-0", 0, 0),
        )
    ),
    *map(
        ignored,
        ("bytes=1-0", "bytes=-1-", "bytes=0--1", "bytes=0-1,3-4,7-9", "0-1", "bytes=-"),
    ),
    unsatisfiable("range bytes=-0", "ten", "bytes=-0"),
    unsatisfiable("range bytes=100-200", "ten", "bytes=100-200"),
    unsatisfiable("range bytes=0- of nothing", "empty", "bytes=0-"),
    get("range bytes=-1 of nothing", "empty", {"Range": "bytes=-1"}, headers={"Content-Range": None,
        "Content-Length": "0", "ETag": "{etag}"}, body=b""),
    get("range of a missing key", "nothing", {"Range": "bytes=100-200"}, status=404,
        code="NoSuchKey"),
)  # fmt: skip

# ---- Parts ---------------------------------------------------------------------------------------


def part(case: str, number: str, sent: Mapping[str, str] | None = None, **expected: object) -> Case:
    """GetObject of a part of the object of eight bytes, which was not uploaded in parts."""
    made = get(case, "eight", sent, **expected)
    return replace(made, request=replace(made.request, query={"partNumber": number}))


PARTS = (
    part(
        "part 1",
        "1",
        status=206,
        headers={
            "Content-Range": "bytes 0-7/8",
            "Content-Length": "8",
            "x-amz-mp-parts-count": None,
            "ETag": "{etag}",
        },
        body=b"01234567",
    ),
    # Where ceph/s3-tests expects 400 InvalidPart.
    part(
        "test_non_multipart_get_part",
        "2",
        status=416,
        code="InvalidPartNumber",
        message="The requested partnumber is not satisfiable",
        details={"PartNumberRequested": "2", "ActualPartCount": "1"},
    ),
    part(
        "part and range",
        "1",
        {"Range": "bytes=0-1"},
        status=400,
        code="InvalidRequest",
        message="Cannot specify both Range header and partNumber query parameter",
    ),
    part("part 0", "0", status=400, code="InvalidArgument"),
    part("part 10001", "10001", status=400, code="InvalidArgument"),
    part("part a", "a", status=400, code="InvalidArgument"),
)

# ---- Preconditions -------------------------------------------------------------------------------

DID_NOT_HOLD = "At least one of the pre-conditions you specified did not hold"


def holds(case: str, headers: Mapping[str, str]) -> Case:
    """Preconditions under which the object is served."""
    return get(case, "foo", headers, headers={"ETag": "{etag}"}, body=b"bar")


def fails(case: str, headers: Mapping[str, str], condition: str) -> Case:
    """Preconditions of which one does not hold."""
    return get(
        case,
        "foo",
        headers,
        status=412,
        code="PreconditionFailed",
        message=DID_NOT_HOLD,
        details={"Condition": condition},
    )


def unchanged(case: str, headers: Mapping[str, str]) -> Case:
    """Preconditions under which the client has the object already."""
    return get(case, "foo", headers, status=304, headers={"ETag": "{etag}"})


ALL_FAIL = {
    "If-Match": '"other"',
    "If-Unmodified-Since": "{before}",
    "If-None-Match": "{etag}",
    "If-Modified-Since": "{modified}",
}


def all_from(first: str) -> dict[str, str]:
    """The preconditions that fail, from the first to be looked at on."""
    names = list(ALL_FAIL)
    return {name: ALL_FAIL[name] for name in names[names.index(first) :]}


PRECONDITIONS = (
    holds("test_get_object_ifmatch_good", {"If-Match": "{etag}"}),
    fails("test_get_object_ifmatch_failed", {"If-Match": '"ABCORZ"'}, "If-Match"),
    unchanged("test_get_object_ifnonematch_good", {"If-None-Match": "{etag}"}),
    holds("test_get_object_ifnonematch_failed", {"If-None-Match": "ABCORZ"}),
    holds("test_get_object_ifmodifiedsince_good", {"If-Modified-Since": PAST}),
    unchanged("test_get_object_ifmodifiedsince_failed", {"If-Modified-Since": "{modified}"}),
    holds("test_get_object_ifunmodifiedsince_good", {"If-Unmodified-Since": FUTURE}),
    fails("test_get_object_ifunmodifiedsince_failed", {"If-Unmodified-Since": PAST},
          "If-Unmodified-Since"),
    fails("of all preconditions If-Match is the first", all_from("If-Match"), "If-Match"),
    fails("If-Unmodified-Since is the second", all_from("If-Unmodified-Since"),
          "If-Unmodified-Since"),
    unchanged("If-None-Match is the third", all_from("If-None-Match")),
    holds("If-Match rules out If-Unmodified-Since",
          {"If-Match": "{etag}", "If-Unmodified-Since": "{before}"}),
    unchanged("If-None-Match rules out If-Modified-Since that holds",
              {"If-None-Match": "{etag}", "If-Modified-Since": "{before}"}),
    holds("If-None-Match rules out If-Modified-Since that does not",
          {"If-None-Match": '"other"', "If-Modified-Since": "{modified}"}),
    holds("If-Match without quotes", {"If-Match": "{etag_text}"}),
    unchanged("If-None-Match without quotes", {"If-None-Match": "{etag_text}"}),
    holds("If-Modified-Since in the future is ignored", {"If-Modified-Since": "{tomorrow}"}),
    holds("If-Unmodified-Since the very second", {"If-Unmodified-Since": "{modified}"}),
    fails("If-Match before a range", {"If-Match": '"other"', "Range": "bytes=100-"}, "If-Match"),
    unchanged("If-None-Match before a range", {"If-None-Match": "{etag}", "Range": "bytes=0-1"}),
)  # fmt: skip

# ---- Headers -------------------------------------------------------------------------------------

NEVER_STORED = dict.fromkeys(
    ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
)
OVERRIDES = {
    "response-content-type": "foo/bar",
    "response-content-language": "esperanto",
    "response-cache-control": "no-cache",
    "response-content-disposition": 'attachment; filename="a b"',
    "response-content-encoding": "aaa",
}
OVERRIDDEN = {name.removeprefix("response-"): value for name, value in OVERRIDES.items()}
TWICE = "response-content-type=foo%2Fbar&response-content-type=foo%2Fbaz"

HEADERS = (
    get(
        "headers of an object",
        "ten",
        headers={
            "Accept-Ranges": "bytes",
            "Content-Length": "10",
            "Content-Type": "binary/octet-stream",
            "ETag": "{etag}",
            "Last-Modified": DATE,
            **NEVER_STORED,
        },
        body=TEN,
    ),
    get("key of characters that are special in URLs", "a b/ü+%?#&=;.txt", body=b"awkward"),
    get("identifiers of the request", "ten", headers={"x-amz-request-id": ANYTHING,
        "x-amz-id-2": ANYTHING}, scope=Scope.SIGNED),
    get(
        "headers of a file",
        "page.html",
        headers={
            "Content-Type": "text/html",
            "ETag": ETAG,
            "Last-Modified": "Fri, 14 Jul 2017 02:40:00 GMT",
            "x-amz-meta-file-owner": "1000",
            "x-amz-meta-file-group": "100",
            "x-amz-meta-file-permissions": "0100640",
            "x-amz-meta-file-mtime": "1500000000000000000ns",
        },
        body=PAGE,
        scope=Scope.OURS,
    ),
    Case(
        id="overrides",
        request=Request(
            key="objects/ten", query=OVERRIDES | {"response-expires": PAST}
        ),
        headers=OVERRIDDEN | {"expires": PAST, "ETag": "{etag}"},
        body=TEN,
    ),
    Case(
        id="the first of a repeated parameter",
        request=Request(path=f"/{BUCKET}/objects/ten?{TWICE}"),
        headers={"Content-Type": "foo/bar"},
        body=TEN,
        scope=Scope.OURS,  # the others compute another signature of such a query
    ),
    Case(
        id="overrides of an error",
        request=Request(key="objects/nothing", query=OVERRIDES),
        status=404,
        code="NoSuchKey",
        headers={"Content-Type": re.compile("application/xml.*"), "Cache-Control": None},
    ),
)  # fmt: skip

PRESIGNED = (
    Case(
        id="test_object_raw_response_headers",
        request=Request(
            key="objects/foo", query=OVERRIDES | {"response-expires": "123"}, auth=presigned()
        ),
        headers=OVERRIDDEN | {"expires": "123"},
        scope=Scope.SIGNED,
    ),
    *(
        Case(
            id=f"overrides of a request that nobody signed{how}",
            request=Request(key="objects/foo", query=OVERRIDES | more, auth=auth),
            status=400,
            code="InvalidRequest",
            message="Request specific response headers cannot be used for anonymous GET requests.",
            scope=Scope.OPEN,
        )
        for how, more, auth in (
            ("", {}, anonymous),
            (", for all its X-Amz-Signature", {"X-Amz-Signature": "1"}, anonymous),
            (", for all its Signature", {"Signature": "1"}, anonymous),
            (", for all its Authorization", {}, with_authorization("AWS4-HMAC-SHA256 x")),
        )
    ),
    *(
        Case(
            id=f"overrides of a request that somebody signed {how}",
            request=Request(key="objects/foo", query=OVERRIDES, auth=auth),
            headers=OVERRIDDEN,
            scope=Scope.OPEN,
        )
        for how, auth in (
            ("in its header", signed),
            ("in its query", presigned()),
            ("in its query, in version 2", presigned_in_version_2()),
        )
    ),
)

# ---- What only a tree has ------------------------------------------------------------------------

NO_OBJECT = {"status": 404, "code": "NoSuchKey"}
TREE = tuple(
    Case(id=case, request=Request(key=key), scope=Scope.OURS, **expected)
    for case, key, expected in (
        ("symlink to a file", "links/file", {"body": b"leaf"}),
        ("key through a symlink to a directory", "links/directory/leaf", {"body": b"leaf"}),
        ("symlink to a directory", "links/directory", NO_OBJECT),
        ("symlink to nowhere", "links/dangling", NO_OBJECT),
        ("directory", "links/target", NO_OBJECT),
        ("directory with its slash", "links/target/", NO_OBJECT),
        ("name that is not UTF-8", "odd/\udcff", {"body": b"odd"}),
    )
)

EMPTY = (
    Case(
        id="test_object_head_zero_bytes",
        request=Request(method="HEAD", key="objects/empty"),
        headers={"Content-Length": "0"},
    ),
)

OBJECTS = (
    *with_heads((*RANGES, *PARTS, *PRECONDITIONS, *HEADERS, *TREE)),
    *PRESIGNED,
    *EMPTY,
)
