"""Objects below a prefix as members: how often each is asked for."""

from __future__ import annotations

import io
from collections import Counter
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from botocore.response import StreamingBody

from s3archivefs.writer import FileKind, PackingError
from s3archivefs_lambda.upload.prefix_members import PrefixMembers
from tests.support.adapter.memory_store import MemoryStore

if TYPE_CHECKING:
    from s3archivefs.writer import Entry

LARGE = Random(1).randbytes((4 << 20) + 1)
CONTENTS = {"in/a": LARGE, "in/b": b"small", "in/c": LARGE[::-1], "other": b"not below"}


class Store(MemoryStore):
    """Remembers the bodies it gave, by key, and heeds no condition if so told."""

    def __init__(self, *, heeds_conditions: bool = True) -> None:
        super().__init__(dict(CONTENTS))
        self.heeds_conditions = heeds_conditions
        self.to_come: dict[str, bytes] = {}
        """What replaces objects once they are listed."""
        self.bodies: list[tuple[str, io.BytesIO]] = []

    def get_object(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
        if not self.heeds_conditions:
            parameters.pop("IfMatch")
        answer = super().get_object(**parameters)
        content = answer["Body"].read()
        body = io.BytesIO(content)
        self.bodies.append((parameters["Key"], body))
        return answer | {"Body": StreamingBody(body, len(content))}

    def list_objects_v2(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- likewise
        listed = super().list_objects_v2(**parameters)
        self.objects |= self.to_come
        return listed

    def asked_for(self) -> Counter[str]:
        """How often each object was asked for."""
        return Counter(key for key, _ in self.bodies)

    def members(self) -> PrefixMembers:
        return PrefixMembers(self.client(), "bucket", "in/")


def content_of(entry: Entry) -> bytes:
    assert entry.open is not None
    with closing(entry.open()) as content:
        pieces = iter(lambda: content.read(300_000), b"")
        return b"".join(piece or b"" for piece in pieces)


def test_each_object_is_asked_for_once() -> None:
    store = Store()
    found = {entry.path: content_of(entry) for entry in store.members()}
    assert found == {b"a": LARGE, b"b": b"small", b"c": LARGE[::-1]}
    assert store.asked_for() == {"in/a": 1, "in/b": 1, "in/c": 1}


def test_an_object_that_stands_for_a_directory_is_not_asked_for() -> None:
    store = Store()
    store.objects |= {"in/dir/": b"", "in/empty": b""}
    kinds = {entry.path: entry.kind for entry in store.members()}
    assert kinds[b"dir"] is FileKind.DIRECTORY
    assert kinds[b"empty"] is FileKind.FILE
    assert "in/dir/" not in store.asked_for()


def test_an_entry_can_be_opened_again_and_after_its_turn() -> None:
    store = Store()
    entries = [*store.members()]
    for _ in range(2):
        found = {entry.path: content_of(entry) for entry in reversed(entries)}
        assert found == {b"a": LARGE, b"b": b"small", b"c": LARGE[::-1]}
    assert store.asked_for() == {"in/a": 3, "in/b": 1, "in/c": 3}


@pytest.mark.parametrize("opens", [False, True])
def test_the_answer_that_nobody_reads_is_closed(*, opens: bool) -> None:
    store = Store()
    for entry in store.members():
        if opens and entry.open is not None:
            entry.open().close()
    large = [body for key, body in store.bodies if key != "in/b"]
    assert len(large) == 2
    assert all(body.closed for body in large)


@pytest.mark.parametrize("heeds_conditions", [False, True])
@pytest.mark.parametrize(
    ("key", "content"),
    [
        ("in/b", b"other"),
        ("in/b", b"longer than before"),
        ("in/b", b""),
        ("in/c", LARGE[:-1] + b"x"),
        ("in/empty", b"filled"),
    ],
)
def test_an_object_that_is_replaced_meanwhile_is_an_error(
    key: str, content: bytes, *, heeds_conditions: bool
) -> None:
    store = Store(heeds_conditions=heeds_conditions)
    store.objects["in/empty"] = b""
    store.to_come[key] = content
    with pytest.raises(PackingError, match=f"s3://bucket/{key}: the object was replaced"):
        [*map(content_of, store.members())]


def test_an_empty_object_is_an_empty_file() -> None:
    store = Store()
    store.objects["in/empty"] = b""
    assert {entry.path: content_of(entry) for entry in store.members()}[b"empty"] == b""
    assert store.asked_for()["in/empty"] == 1
