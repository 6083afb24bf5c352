"""What a request may ask for, by the key that signed it."""

from __future__ import annotations

import json
import logging
import re
from posixpath import normpath
from typing import TYPE_CHECKING
from urllib.parse import quote

import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.commands.key_document import parse_keys
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from tests.support.adapter.asked_application import Answer, answer_of
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.local_archives import operations_on, parse_page
from tests.support.adapter.request_lines import logged_lines
from tests.support.adapter.signed_requests import Sent, presigned, presigned_v2, signed
from tests.support.adapter.signer import Signer
from tests.support.images import built

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from s3archivefs_lambda.endpoint.messages import HttpApplication

SIGNINGS = [signed, presigned, presigned_v2]
ALL = AccessKey("ALL", "secret of all")
DOCS = AccessKey("DOCS", "secret of docs", {"archive": ("docs/",), "maps": ("2026/a/", "x/")})
NONE = AccessKey("NONE", "secret of none", {})


def ask(
    key: AccessKey, target: str, method: str = "GET", signing: Callable[..., Sent] = signed
) -> Answer:
    """What the endpoint answers to a request that this key signed."""
    credentials = botocore.credentials.Credentials(key.id, key.secret)
    sent = (
        signing(target, method, credentials=credentials)
        if signing is signed
        else signing(target, credentials=credentials)
    )
    buckets = {name: ServedBucket(FakeOperations()) for name in ("archive", "maps", "third")}
    app = make_app(buckets, verifier=Verifier(AccessKeys([ALL, DOCS, NONE])))
    return answer_of(app, sent.target, method, tuple(sent.headers.items()))


def buckets_in(answer: Answer) -> list[str]:
    return re.findall("<Name>(.*?)</Name>", answer.body.decode())


@pytest.mark.parametrize("signing", SIGNINGS)
@pytest.mark.parametrize(
    "target",
    [
        *("/archive/docs/a", "/archive/docs/a/b", "/archive/docs/", "/maps/2026/a/x"),
        *(
            "/archive?prefix=docs%2F",
            "/archive?list-type=2&prefix=docs%2Fa",
            "/maps?prefix=x%2Fy&delimiter=%2F",
        ),
        *("/archive?location", "/maps?location", "/archive?versioning", "/archive?acl", "/"),
        *("/archive/docs/a?tagging", "/archive?versions&prefix=docs%2Fa"),
        "/archive?uploads&prefix=docs%2F",
    ],
)
def test_what_lies_under_its_prefixes_is_for_the_key(
    target: str, signing: Callable[..., Sent]
) -> None:
    assert ask(DOCS, target, signing=signing).status == 200
    assert ask(ALL, target, signing=signing).status == 200


@pytest.mark.parametrize("signing", SIGNINGS)
@pytest.mark.parametrize(
    "target",
    [
        *("/archive/docs2/a", "/archive/doc", "/archive/docs", "/archive/x", "/archive//docs/a"),
        *("/archive/DOCS/a", "/maps/docs/a", "/maps/2026/b", "/third/docs/a"),
        *("/archive", "/archive?list-type=2", "/archive?prefix=docs", "/archive?prefix=doc"),
        *("/archive?prefix=other%2F", "/archive?prefix=&prefix=docs%2F", "/maps?prefix=2026%2F"),
        *("/archive/x?tagging", "/archive/x?acl", "/archive?versions", "/archive?uploads"),
        *("/archive?versions&prefix=docs", "/third?versioning", "/third?acl"),
        *("/archive?prefix=docs2%2F&delimiter=%2F", "/third?prefix=docs%2F", "/third?location"),
    ],
)
def test_anything_else_is_denied(target: str, signing: Callable[..., Sent]) -> None:
    answer = ask(DOCS, target, signing=signing)
    assert (answer.status, answer.error["Code"]) == (403, "AccessDenied")
    assert ask(ALL, target, signing=signing).status == 200
    assert ask(NONE, target, signing=signing).status == 403


@pytest.mark.parametrize(
    ("target", "status"),
    [
        *(("/archive/docs/a", 200), ("/archive/x", 403), ("/archive", 200), ("/maps", 200)),
        *(("/third", 403), ("/nowhere", 404), ("/nowhere/docs/a", 404)),
    ],
)
def test_a_head_is_allowed_as_a_get_is(target: str, status: int) -> None:
    assert ask(DOCS, target, "HEAD").status == status


NAMES = st.sampled_from(["docs", "docs2", "doc", "a", "ü", "..", ".", "", "%2F", "a b"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PREFIXES = st.lists(
    st.lists(st.sampled_from(["docs", "docs2", "a", "ü", "a b"]), max_size=3).map("/".join),
    max_size=3,
)


def lies_under(path: str, start: str) -> bool:
    """Whether it begins so, and does not leave that on the way, if dots are resolved."""
    rest = path.removeprefix(start).split("/")
    ways = ["/".join(rest[: size + 1]) for size in range(len(rest))]
    return path.startswith(start) and all(
        normpath(f"/top/{way}").startswith("/top") for way in ways
    )


@pytest.mark.property
@given(prefixes=PREFIXES, path=PATHS, in_query=st.booleans(), is_listing=st.booleans())
def test_of_the_signed_requests_those_under_the_prefixes_are_answered(
    prefixes: list[str], path: str, *, in_query: bool, is_listing: bool
) -> None:
    document = json.dumps([{"id": "ID", "secret": "a-secret", "prefixes": prefixes}])
    keys = parse_keys(document, "the test", "archive")
    target = f"/archive?prefix={quote(path, safe='')}" if is_listing else f"/archive/{quote(path)}"
    signer = Signer(access_key_id="ID", secret="a-secret")
    headers = {"host": "localhost"}
    if in_query:
        target = signer.presigned("GET", target, headers)
    else:
        headers = signer.header("GET", target, headers)
    app = make_app({"archive": ServedBucket(FakeOperations())}, verifier=Verifier(keys))
    answer = answer_of(app, target, headers=tuple(headers.items()))
    if any(lies_under(path, f"{prefix}/" if prefix else "") for prefix in prefixes):
        assert answer.status == 200
    else:
        assert (answer.status, answer.error["Code"]) == (403, "AccessDenied")


FEW = AccessKey("ID", "a-secret", {"archive": ("m/docs/",)})


@pytest.fixture
def linked(tmp_path: Path) -> HttpApplication:
    """An endpoint over an archive with symlinks out of `docs`; FEW may read no more than that."""
    tree = {
        b"a": built.file(b"mine"),
        b"to-a": built.symlink(b"a"),
        b"to-s": built.symlink(b"../secret/s"),
        b"to-to-s": built.symlink(b"to-s"),
        b"to-docs": built.symlink(b"../docs"),
        b"through": built.symlink(b"/secret"),
        b"sub": built.directory({b"up-to-a": built.symlink(b"../a")}),
    }
    # One symlink of two names, of which the second leads out.
    two_names = built.symlink(b"way/two-names")
    tree[b"two-names"] = two_names
    tree[b"way"] = built.directory({b"two-names": two_names, b"way": built.symlink(b"/secret")})
    secret = {b"s": built.file(b"not mine"), b"two-names": built.file(b"nor this")}
    return endpoint_of(tmp_path, {b"docs": dict(sorted(tree.items())), b"secret": secret})


def endpoint_of(
    tmp_path: Path, directories: Mapping[bytes, Mapping[bytes, built.Node]]
) -> HttpApplication:
    """An endpoint over an archive that has these directories, for FEW and ALL."""
    root = {name: built.directory(entries) for name, entries in directories.items()}
    (tmp_path / "image").write_bytes(bytes(built.build(built.directory(root))))
    operations = operations_on({"m": tmp_path / "image"})
    keys = AccessKeys([FEW, ALL])
    return make_app({"archive": ServedBucket(operations)}, verifier=Verifier(keys))


def answer_to(app: HttpApplication, target: str, key: AccessKey) -> Answer:
    headers = {"host": "localhost", "x-amz-object-attributes": "ObjectSize"}
    headers = Signer(access_key_id=key.id, secret=key.secret).header("GET", target, headers)
    return answer_of(app, target, headers=tuple(headers.items()))


@pytest.mark.parametrize("query", ["", "?attributes", "?tagging"])
@pytest.mark.parametrize(
    ("path", "status"),
    [
        *(("docs/a", 200), ("docs/to-a", 200), ("docs/sub/up-to-a", 200), ("docs/through/s", 403)),
        *(("docs/to-s", 403), ("docs/to-to-s", 403), ("docs/to-docs/a", 200), ("docs/none", 404)),
        ("docs/two-names", 403),
    ],
)
def test_symlinks_lead_to_nothing_that_the_key_may_not_read(
    linked: HttpApplication, path: str, status: int, query: str
) -> None:
    target = f"/archive/m/{path}{query}"
    assert [answer_to(linked, target, FEW).status for _ in range(2)] == [status] * 2
    assert answer_to(linked, target, ALL).status == (404 if status == 404 else 200)


def test_symlinks_to_what_the_key_may_not_read_are_not_listed(linked: HttpApplication) -> None:
    def keys_for(key: AccessKey) -> list[bytes]:
        page = parse_page(answer_to(linked, "/archive?list-type=2&prefix=m%2Fdocs%2F", key).body)
        return [each.key for each in page.objects]

    mine = [b"m/docs/a", b"m/docs/sub/up-to-a", b"m/docs/to-a"]
    assert keys_for(FEW) == mine
    others = [b"m/docs/to-s", b"m/docs/to-to-s", b"m/docs/two-names", b"m/docs/way/two-names"]
    assert keys_for(ALL) == [*mine, *others]


OUTSIDE = {
    "nothing": {},
    "a file": {b"s": built.file(b"not mine")},
    "a directory": {b"s": built.directory({b"t": built.file(b"not mine")})},
    "a loop": {b"s": built.symlink(b"s")},
    "a dangling link": {b"s": built.symlink(b"none")},
    "a device": {b"s": built.special(4)},
}
"""Directories that FEW may not read, by what they hold."""


DENIED = ("through", "through/s", "through/s/t", "through/none", "to-s", "to-s/t", "to-none")
SUB = ("", "?attributes", "?tagging")
NOT_THERE = ("none", "to-missing", "loop", "a/b", "to-a/b")


@pytest.mark.parametrize("kind", OUTSIDE)
def test_an_answer_does_not_tell_what_is_where_the_key_may_not_read(
    tmp_path: Path, kind: str
) -> None:
    tree = {
        b"a": built.file(b"mine"),
        b"loop": built.symlink(b"loop"),
        b"through": built.symlink(b"/secret"),
        b"to-a": built.symlink(b"a"),
        b"to-missing": built.symlink(b"missing"),
        b"to-none": built.symlink(b"../secret/none"),
        b"to-s": built.symlink(b"../secret/s"),
    }
    app = endpoint_of(tmp_path, {b"docs": tree, b"secret": OUTSIDE[kind]})
    for status, paths in ((403, DENIED), (404, NOT_THERE)):
        for target in (f"/archive/m/docs/{path}{query}" for path in paths for query in SUB):
            assert answer_to(app, target, FEW).status == status, target
    page = parse_page(answer_to(app, "/archive?list-type=2&prefix=m%2Fdocs%2F", FEW).body)
    assert [each.key for each in page.objects] == [b"m/docs/a", b"m/docs/to-a"]


@pytest.mark.parametrize(
    ("key", "names"), [(ALL, ["archive", "maps", "third"]), (DOCS, ["archive", "maps"]), (NONE, [])]
)
def test_the_service_lists_the_buckets_in_which_the_key_may_read(
    key: AccessKey, names: list[str]
) -> None:
    assert buckets_in(ask(key, "/")) == names


def test_the_log_says_who_was_denied_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    ask(DOCS, "/archive/x")
    (line,) = logged_lines(caplog)
    expected: Mapping[str, object] = {
        "operation": "GetObject",
        "access_key_id": "DOCS",
        "error": "AccessDenied",
        "refused": "not what the key may read",
    }
    assert {name: line[name] for name in expected} == expected
