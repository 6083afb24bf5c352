"""Small trees that hypothesis draws, what keys they stand for, and images of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import strategies as st

from fixtures.build import build
from fixtures.recipes import Recipe
from fixtures.tree import Node, directory, file, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink."""

    target: bytes


# A file is its content, a directory what it holds by name.
Tree: TypeAlias = "bytes | Link | dict[bytes, Tree]"
Directory: TypeAlias = "dict[bytes, Tree]"

# Bytes on both sides of `/` (0x2f), which order a directory's key unlike its name; above ASCII,
# UTF-8 and not.
LETTERS = (b"a", b"b", b"-", b".", b"0", b"+", b"\xff", b"\xc3\xbc", b"\x01")
_TARGETS = (b"a", b"b", b"..", b".", b"/a", b"a/b", b"../a", b"a/..", b"nowhere", b"/")
_MAX_HOPS = 40


def names() -> st.SearchStrategy[bytes]:
    """A name of one to three letters."""
    letters = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=3)
    return letters.map(b"".join).filter(lambda name: name not in {b".", b".."})


def trees() -> st.SearchStrategy[Directory]:
    """A root directory, some directories deep."""
    leaves: st.SearchStrategy[Tree] = (
        st.binary(max_size=5) | st.sampled_from(_TARGETS).map(Link) | st.just({})
    )
    nodes: st.SearchStrategy[Tree] = st.recursive(
        leaves,
        lambda inner: st.dictionaries(names(), inner, min_size=1, max_size=5),
        max_leaves=15,
    )
    return st.dictionaries(names(), nodes, min_size=2, max_size=6)


def build_tree(tree: Directory, image: Path, tool: str) -> None:
    """Pack a tree into an image with mksquashfs or tar2sqfs."""
    options = {"tar2sqfs": ("-c", "gzip")}.get(tool, ())
    nodes = tuple(_nodes("", tree))
    build(Recipe(name="tree", shape="drawn", tool=tool, options=options, tree=nodes), image)


def objects_of(tree: Directory) -> dict[bytes, bytes]:
    """What a bucket holds in place of the tree: content by key, in no order.

    Files, and symlinks that lead to one; a symlink to a directory is not entered.
    """
    found = {}
    for path, node in _walk(b"", tree):
        reached = _resolve(tree, path) if isinstance(node, Link) else node
        if isinstance(reached, bytes):
            found[path] = reached
    return found


def _walk(path: bytes, tree: Directory) -> Iterator[tuple[bytes, Tree]]:
    for name, node in tree.items():
        yield path + name, node
        if isinstance(node, dict):
            yield from _walk(path + name + b"/", node)


def _resolve(root: Directory, path: bytes) -> Tree | None:
    """What a path leads to, as a kernel would find it, or None."""
    todo = path.split(b"/")[::-1]
    above = [root]
    node: Tree = root
    hops = 0
    while todo:
        if not isinstance(node, dict):
            return None  # a file is no directory
        match todo.pop():
            case b"" | b".":
                continue
            case b"..":
                above = above[:-1] or [root]
                node = above[-1]
                continue
            case name:
                child = above[-1].get(name)
        if isinstance(child, Link):
            hops += 1
            if hops > _MAX_HOPS:
                return None
            todo += child.target.split(b"/")[::-1]
            above = [root] if child.target.startswith(b"/") else above
            node = above[-1]
        elif child is None:
            return None
        else:
            node = child
            if isinstance(child, dict):
                above.append(child)
    return node


def _nodes(path: str, tree: Directory) -> Iterator[Node]:
    for name, node in tree.items():
        here = path + name.decode("utf-8", "surrogateescape")
        match node:
            case bytes():
                yield file(here, node)
            case Link(target):
                yield symlink(here, target.decode("utf-8", "surrogateescape"))
            case dict():
                yield directory(here)
                yield from _nodes(here + "/", node)
