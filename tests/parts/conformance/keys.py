"""The keys that every server holds: a directory for each set of them.

The sets of ceph/s3-tests keep their keys, behind the name of the set; it makes a bucket for each.
The content of an object is its key, unless said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fixtures.tree import Node, directory, file, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "archive"

SETS: dict[str, tuple[str, ...]] = {
    "many": ("bar", "baz", "foo"),
    "count": ("0", "1", "2", "3", "4"),
    # With "foo/bar" too, which no file tree can have beside it, the answers are the same.
    "basic": ("asdf", "foo/bar/xyzzy", "quux/thud"),
    "encoding": ("asdf+b", "foo+1/bar", "foo/bar/xyzzy", "quux ab/thud"),
    "delimiter-prefix": ("asdf", "boo/bar", "boo/baz/xyzzy", "cquux/bla", "cquux/thud"),
    "underscore": ("_obj1_", "_under1/bar", "_under1/baz/xyzzy", "_under2/bla", "_under2/thud"),
    "alt": ("bar", "baz", "cab", "foo"),
    "percentage": ("b%ar", "b%az", "c%ab", "foo"),
    "whitespace": ("b ar", "b az", "c ab", "foo"),
    "dot": ("b.ar", "b.az", "c.ab", "foo"),
    # A tenth of the keys, which are listed with a tenth of the page.
    "special": (*(f"0/{number}" for number in range(1000, 1100)), "1999", "1999#", "1999+", "2000"),
    "prefix": ("foo/bar", "foo/baz", "quux"),
    "prefix-alt": ("bar", "baz", "foo"),
    "prefix-delimiter": ("asdf", "foo/bar", "foo/baz/xyzzy", "quux/thud"),
    "prefix-delimiter-alt": ("bar", "bazar", "cab", "foo"),
    "nested": ("b/a/c", "b/a/g", "b/a/r", "g"),
    "four": ("bar", "baz", "foo", "quxx"),
    "special-prefix": ("_bla/1", "_bla/2", "_bla/3", "_bla/4", "abcd"),
    # Both sides of "/" in byte order; UTF-16 would sort the last two the other way round.
    "order": ("a!", "a-b", "a.b", "a/x", "a/y", "a0", "ab", "b", "ü", "\uff5e", "\U0001f600"),
    "separators": ("a::b", "a::c", "a:d", "x%2Fy", "x%2Fz", "x-y-z"),
    "groups": ("folder/aSubfolder/subFile1", "folder/aSubfolder/subFile2", "folder/file1"),
    "empty": (),
}

CONTENTS = {
    "objects/ten": b"0123456789",
    "objects/eight": b"01234567",
    "objects/eleven": b"testcontent",
    "objects/foo": b"bar",
    "objects/empty": b"",
    "objects/big": bytes(range(256)) * (32 << 10),
    "objects/a b/ü+%?#&=;.txt": b"awkward",
}

ODD_NAMES = tuple(
    name.decode("utf-8", "surrogateescape")
    for name in (b"bell\x07", b"caf\xe9", b"line\nfeed", b"return\r", b"\xed\xa0\x80", b"\xff")
)
"""Names that XML 1.0 cannot hold as they are, or that are not UTF-8: no client stores such keys."""

PAGE = b"<p>page</p>"


def objects() -> dict[str, bytes]:
    """Content by key, of what all servers hold."""
    keys = (f"{name}/{key}" for name, keys in SETS.items() for key in keys)
    return {key: key.encode() for key in keys} | CONTENTS


def tree() -> tuple[Node, ...]:
    """The same keys as files, and what only a tree has."""
    nodes = {key: file(key, content) for key, content in objects().items()}
    nodes |= {f"odd/{name}": file(f"odd/{name}", b"odd") for name in ODD_NAMES}
    nodes["objects/page.html"] = file(
        "objects/page.html", PAGE, mode=0o640, uid=1000, gid=100, mtime=1_500_000_000
    )
    nodes["links/target/leaf"] = file("links/target/leaf", b"leaf")
    nodes["links/file"] = symlink("links/file", "target/leaf")
    nodes["links/directory"] = symlink("links/directory", "target")
    nodes["links/dangling"] = symlink("links/dangling", "nowhere")
    parents = {parent: directory(parent) for path in nodes for parent in _parents(path)}
    parents |= {name: directory(name) for name in SETS}
    return tuple(node for _, node in sorted((parents | nodes).items()))


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
