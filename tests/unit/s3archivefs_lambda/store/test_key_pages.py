from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.key_space import end_of
from s3archivefs_lambda.store.errors import (
    ArchiveAccessError,
    ArchiveForbiddenError,
    ArchiveThrottledError,
    ArchiveUnavailableError,
    StoreRefusedError,
)
from s3archivefs_lambda.store.key_pages import KeyPage, key_page, text_below
from tests.support.adapter.memory_store import MODIFIED, MemoryStore, etag_of


def page(
    store: MemoryStore,
    prefix: bytes = b"",
    delimiter: bytes = b"",
    floor: bytes = b"",
    max_keys: int = 1000,
) -> KeyPage:
    return key_page(store.client(), "bucket", prefix, delimiter, floor, max_keys=max_keys)


def names(found: KeyPage) -> list[bytes]:
    return [each.key for each in found.keys]


def test_objects_and_common_prefixes_come_in_one_order() -> None:
    store = MemoryStore({"a-": b"1", "a/x": b"22", "a/y": b"3", "a0": b"4"})
    store.storage_classes["a0"] = "GLACIER"
    found = page(store, delimiter=b"/")
    assert names(found) == [b"a-", b"a/", b"a0"]
    assert [each.is_common_prefix for each in found.keys] == [False, True, False]
    assert found.is_last
    first, _, last = found.keys
    assert (first.size, first.etag) == (1, etag_of(b"1"))
    assert first.modified == int(MODIFIED.timestamp())
    assert (first.storage_class, last.storage_class) == ("STANDARD", "GLACIER")


def test_pages_follow_one_another_by_their_floors() -> None:
    store = MemoryStore(dict.fromkeys(("a", "b", "b/c", "ü", "😀"), b""))
    got: list[bytes] = []
    while True:
        found = page(store, floor=got[-1] + b"\0" if got else b"", max_keys=2)
        got += names(found)
        if found.is_last:
            break
    assert got == sorted(key.encode() for key in store.objects)


def test_a_floor_behind_a_group_passes_over_it() -> None:
    store = MemoryStore({"a/x": b"", "a/\U0010fffe": b"", "a0": b"", "b": b""})
    assert names(page(store, floor=end_of(b"a/") or b"")) == [b"a0", b"b"]


@given(st.text(max_size=4).map(lambda text: text.encode()) | st.binary(max_size=6))
@pytest.mark.property
def test_the_text_below_a_floor_is_the_last_that_can_be(floor: bytes) -> None:
    below = text_below(floor).encode()
    assert below < floor or below == floor == b""
    above = below.removesuffix(chr(0x10FFFF).encode())
    for character in "\0/0a\x7f\x80\u00fc\ud7ff\ue000\uffff\U0010ffff":
        between = above + character.encode()
        assert not below < between < floor


def test_a_prefix_that_is_no_text_is_sought_below_the_text_that_it_begins_with() -> None:
    store = MemoryStore({"a": b"", "\u00fc/x": b"", "\u00fc/y": b""})
    assert names(page(store, prefix=b"\xc3", delimiter=b"/", floor=b"\xc3")) == [
        "\u00fc/x".encode(),
        "\u00fc/y".encode(),
    ]
    assert all("Delimiter" not in parameters for _, parameters in store.asked)


def test_an_empty_page_that_is_not_the_last_is_followed_by_its_token() -> None:
    class Slow(MemoryStore):
        def list_objects_v2(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
            if "ContinuationToken" not in parameters:
                return {"IsTruncated": True, "NextContinuationToken": "a"}
            return super().list_objects_v2(**parameters)

    assert names(page(Slow({"a": b"", "b": b""}))) == [b"b"]


def test_a_store_that_never_goes_on_is_given_up() -> None:
    class Stuck(MemoryStore):
        def list_objects_v2(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
            return super().list_objects_v2(
                Prefix=parameters["Prefix"], MaxKeys=parameters["MaxKeys"]
            )

    store = Stuck(dict.fromkeys("abcd", b""))
    with pytest.raises(ArchiveUnavailableError, match="does not go on"):
        page(store, floor=b"c", max_keys=2)


def test_a_store_whose_keys_are_out_of_order_is_refused() -> None:
    class Unordered(MemoryStore):
        def list_objects_v2(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
            answer = super().list_objects_v2(**parameters)
            return answer | {"Contents": answer["Contents"][::-1]}

    with pytest.raises(ArchiveUnavailableError, match="out of their order"):
        page(Unordered({"a": b"", "b": b""}))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((503, "SlowDown"), ArchiveThrottledError),
        ((500, "InternalError"), ArchiveUnavailableError),
        ((301, "PermanentRedirect"), ArchiveUnavailableError),
    ],
)
def test_faults_are_those_of_reading(
    answer: tuple[int, str], kind: type[ArchiveAccessError]
) -> None:
    store = MemoryStore({})
    store.failing["p/"] = answer
    with pytest.raises(kind):
        page(store, prefix=b"p/")


def test_a_missing_bucket_is_the_stores_own_refusal() -> None:
    store = MemoryStore({})
    store.failing[""] = (404, "NoSuchBucket")
    with pytest.raises(StoreRefusedError) as error:
        page(store)
    assert (error.value.status, error.value.code) == (404, "NoSuchBucket")


def test_what_may_not_be_listed_says_which_permission_is_missing() -> None:
    store = MemoryStore({})
    store.failing[""] = (403, "AccessDenied")
    with pytest.raises(ArchiveForbiddenError, match="s3:ListBucket"):
        page(store)
