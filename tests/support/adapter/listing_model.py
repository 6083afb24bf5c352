"""What a listing of mapped archives is, by the book: all keys sorted, grouped, then cut.

And what hypothesis draws to hold a listing against it: archives, and places in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.support.drawn.trees import LETTERS, Directory, objects_of, trees

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

# ---- The model -----------------------------------------------------------------------------------


def objects_in(archives: dict[bytes, Directory]) -> dict[bytes, bytes]:
    """What the archives hold together: content by key, in no order.

    A key is that of the archive with the longest virtual prefix, whether it is there or not.
    """
    return {
        virtual + path: content
        for virtual, tree in archives.items()
        for path, content in objects_of(tree).items()
        if _owner(archives, virtual + path) == virtual
    }


def expected_items(
    archives: dict[bytes, Directory], prefix: bytes, delimiter: bytes, after: bytes
) -> list[bytes]:
    """The keys and common prefixes under `prefix` that are above `after`, in order.

    A mapping shows as a common prefix whatever its archive holds, as nobody has opened that.
    """
    return grouped(objects_in(archives).keys(), archives.keys(), prefix, delimiter, after)


def grouped(
    keys: AbstractSet[bytes],
    virtual: AbstractSet[bytes],
    prefix: bytes,
    delimiter: bytes,
    after: bytes,
) -> list[bytes]:
    """The same of keys, and of virtual prefixes that show as a common prefix whatever they hold."""
    items: list[bytes] = []
    for key in sorted(keys | virtual):
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut >= 0:
            group = key[: cut + len(delimiter)]
            if group not in items and group > after and not after.startswith(group):
                items.append(group)
        elif key in keys and key > after:
            items.append(key)
    return items


def _owner(archives: Iterable[bytes], key: bytes) -> bytes:
    return max((virtual for virtual in archives if key.startswith(virtual)), key=len)


# ---- What is drawn -------------------------------------------------------------------------------

VIRTUAL = (b"", b"a/", b"a/b/", b"a-/", b"b/", b"\xff/", b"0/a/")
DELIMITERS = (b"/", b"/", b"", b"-", b"a", b"ab", b"/a", b"\xff")


def mapped_trees() -> st.SearchStrategy[dict[bytes, Directory]]:
    """Some archives by virtual prefix."""
    return st.dictionaries(st.sampled_from(VIRTUAL), trees(), min_size=1, max_size=3)


@st.composite
def places(draw: st.DrawFn, archives: dict[bytes, Directory]) -> bytes:
    """Where to list, or to start: a part of a key, perhaps with something behind it."""
    keys = sorted(v + path for v, tree in archives.items() for path in objects_of(tree))
    key = draw(st.sampled_from([b"", *archives, *keys]))
    part = key[: draw(st.integers(0, len(key)))]
    return part + draw(st.just(b"") | st.sampled_from([b"/", *LETTERS]))
