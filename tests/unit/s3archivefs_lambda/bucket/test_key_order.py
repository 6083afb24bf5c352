"""The order of a directory's entries as keys, from any start on."""

from __future__ import annotations

import pytest

import s3archivefs
from s3archivefs_lambda.bucket.key_order import in_key_order
from tests.support.images.built import build, directory, file

NAMES = {
    b"a": True,
    b"a-": False,
    b"a-a": True,
    b"a-a-a": True,
    b"a-a-a-a": False,
    b"a0": True,
    b"b": False,
}
"""Whether each is a directory."""
IN_ORDER = [b"a-", b"a-a-a-a", b"a-a-a/", b"a-a/", b"a/", b"a0/", b"b"]


@pytest.fixture(scope="module")
def fs() -> s3archivefs.SquashFS:
    children = {
        name: directory({b"x": file()}) if is_directory else file()
        for name, is_directory in NAMES.items()
    }
    return s3archivefs.open(s3archivefs.BytesDevice(bytes(build(directory(children)))))


def ordered(fs: s3archivefs.SquashFS, start: bytes) -> tuple[list[bytes], int]:
    """The names from a start on, and the seeks that took."""
    seeks: list[None] = []
    found = in_key_order(
        lambda name: fs.scandir(b"/", start=name), start, lambda: seeks.append(None)
    )
    return [name for name, _ in found], len(seeks)


STARTS = sorted(
    {
        name[:end] + more
        for name in IN_ORDER
        for end in range(8)
        for more in (b"", b"-", b"/x", b"\xff")
    }
)


@pytest.mark.parametrize("start", STARTS)
def test_from_any_start_what_can_reach_it_comes_in_the_order_of_keys(
    fs: s3archivefs.SquashFS, start: bytes
) -> None:
    names, _ = ordered(fs, start)
    can = [
        name
        for name in IN_ORDER
        if name >= start or (name.endswith(b"/") and start.startswith(name))
    ]
    assert names == can


def test_on_the_way_down_to_a_start_only_that_is_looked_for(fs: s3archivefs.SquashFS) -> None:
    seeks: list[None] = []
    found = in_key_order(
        lambda name: fs.scandir(b"/", start=name), b"a-a-a/x", lambda: seeks.append(None)
    )
    assert next(found)[0] == b"a-a-a/"
    assert not seeks
    assert [name for name, _ in found] == [b"a-a/", b"a/", b"a0/", b"b"]
    assert len(seeks) == 2
