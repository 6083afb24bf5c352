"""What an access key may read."""

from __future__ import annotations

import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.commands.key_document import parse_keys
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.text import to_bytes
from tests.support.processes.memory import growth

BUCKETS = ["archive", "books"]
NAMES = st.text(st.sampled_from("ab-0.ü\udcff"), min_size=1, max_size=3).filter(
    lambda name: name not in {".", ".."}
)
PREFIXES = st.lists(NAMES, max_size=3).map("/".join)
KEYS = st.lists(st.one_of(NAMES, st.just("")), min_size=1, max_size=5).map("/".join)
READABLE = st.one_of(st.none(), st.lists(st.tuples(st.sampled_from(BUCKETS), PREFIXES), max_size=4))


def key_for(readable: list[tuple[str, str]] | None) -> AccessKey:
    """As the document makes it."""
    if readable is None:
        return AccessKey("id", "a secret")
    prefixes = [f"s3://{bucket}/{prefix}" for bucket, prefix in readable]
    text = json.dumps([{"id": "id", "secret": "a-secret", "prefixes": prefixes}])
    (key,) = parse_keys(text, "the test", "archive")
    return key


def lies_under(key: bytes, prefix: bytes) -> bool:
    """The same rule, by whole names of a path."""
    if not prefix:
        return True
    names, wanted = key.split(b"/"), prefix.split(b"/")
    return len(names) > len(wanted) and names[: len(wanted)] == wanted


@pytest.mark.property
@given(READABLE, st.sampled_from(BUCKETS), KEYS)
def test_a_key_reads_exactly_what_lies_under_its_prefixes(
    readable: list[tuple[str, str]] | None, bucket: str, key: str
) -> None:
    allowed = readable is None or any(
        bucket == of and lies_under(to_bytes(key), to_bytes(prefix)) for of, prefix in readable
    )
    assert key_for(readable).may_read(bucket, key) is allowed


@pytest.mark.parametrize(
    ("key", "allowed"),
    [
        ("a/b/../c", True),
        ("a/..b", True),
        ("a/../c", False),
        ("a/.././../c", False),
        ("a/b/../../c", False),
        ("a/../a/c", False),
        ("a/..", False),
    ],
)
def test_dot_segments_lead_out_of_no_prefix(key: str, allowed: bool) -> None:  # noqa: FBT001
    """A store behind the endpoint could resolve them."""
    assert key_for([("archive", "a")]).may_read("archive", key) is allowed
    assert key_for(None).may_read("archive", key)


@pytest.mark.property
@given(READABLE, st.sampled_from(BUCKETS), KEYS, KEYS)
def test_all_that_an_allowed_listing_can_show_may_be_read(
    readable: list[tuple[str, str]] | None, bucket: str, prefix: str, rest: str
) -> None:
    key = key_for(readable)
    if key.may_read(bucket, prefix):
        assert key.may_read(bucket, prefix + rest)
        assert key.may_read_in(bucket)


@pytest.mark.property
@given(READABLE, st.sampled_from(BUCKETS))
def test_a_bucket_is_known_to_keys_that_read_in_it(
    readable: list[tuple[str, str]] | None, bucket: str
) -> None:
    known = readable is None or bucket in {of for of, _ in readable}
    assert key_for(readable).may_read_in(bucket) is known


def test_a_disabled_key_is_not_found() -> None:
    keys = AccessKeys([AccessKey("on", "x"), AccessKey("off", "y", is_disabled=True)])
    assert keys.find("on") is not None
    assert keys.find("off") is None
    assert keys.find("none") is None
    assert [keys.is_disabled(name) for name in ("on", "off", "none")] == [False, True, False]
    assert len(keys) == 2


def test_a_signing_key_is_derived_once_for_each_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = []

    def digest(key: bytes, message: bytes, algorithm: str) -> bytes:
        derived.append(message)
        return hmac.new(key, message, algorithm).digest()

    monkeypatch.setattr("hmac.digest", digest)
    key = AccessKey("id", "secret")
    scope = ("20261129", "eu-west-1", "s3", "aws4_request")
    first = key.signing_key(scope)
    assert derived == [b"20261129", b"eu-west-1", b"s3", b"aws4_request"]
    assert key.signing_key(scope) == first
    assert len(derived) == 4
    assert key.signing_key(("20261130", *scope[1:])) != first


def test_clients_that_invent_regions_take_no_memory() -> None:
    key = AccessKey("id", "secret")

    def sign() -> None:
        for number in range(1000):
            key.signing_key(("20261129", f"region-{number}", "s3", "aws4_request"))

    assert growth(sign) < 20_000


def test_no_secret_is_shown() -> None:
    key = AccessKey("id", "a-secret")
    key.signing_key(("20261129", "eu-west-1", "s3", "aws4_request"))
    for shown in (repr(key), repr(AccessKeys([key]))):
        assert "'id'" in shown
        assert "a-secret" not in shown
        assert "signing" not in shown
