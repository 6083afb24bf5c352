"""Images that hypothesis draws: a way to make them, the tool's options, and a tree."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import strategies as st

from fixtures.tree import Node, directory, hard_link
from tests.support.drawn.contents import contents
from tests.support.drawn.options import (
    Compressor,
    Suite,
    compressors,
    mksquashfs_options,
    ng_options,
)
from tests.support.drawn.own_options import own_compressors, own_flags

if TYPE_CHECKING:
    from hypothesis.vendor.pretty import RepresentationPrinter


class _ShownByRepr:
    """Without this hypothesis would show each field, and each content whole."""

    __slots__ = ()

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:  # noqa: FBT001 -- hypothesis calls it so
        printer.text(repr(self))


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Writer(_ShownByRepr):
    """A way to make an image, with what it cannot express."""

    name: str
    suite: Suite
    sockets: bool = True
    xattrs: bool = True
    lines: bool = False
    """Whether names and targets stand in lines of text."""
    times: bool = True
    """Whether each path has an mtime of its own."""
    root: bool = True
    """Whether the root has more than a mode: owner, mtime, attributes."""

    def __repr__(self) -> str:
        return self.name


# To pack a directory would show no more, and take privileges: owners, devices, trusted attributes.
WRITERS = (
    # A tar stream has no sockets. Of its entry for the root, 4.5.1 takes nothing; the root's mode
    # can be given on the command line, its owner is 0:0 and its mtime that of the packing.
    Writer(name="mksquashfs-tar", suite="squashfs-tools", sockets=False, root=False),
    # 4.5.1 has no pseudo-file definition for attributes.
    Writer(name="mksquashfs-pseudo", suite="squashfs-tools", xattrs=False, lines=True),
    # A pack file has no times, and 1.2.0 reads a file of attributes only where there is none.
    Writer(name="gensquashfs", suite="squashfs-tools-ng", xattrs=False, lines=True, times=False),
    Writer(name="tar2sqfs", suite="squashfs-tools-ng", sockets=False),
)
OWN_WRITER = Writer(name="s3archivefs", suite="s3archivefs")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DrawnImage(_ShownByRepr):
    """What to pack, and how."""

    writer: Writer
    block_size: int
    compressor: Compressor
    options: tuple[str, ...]
    offset: int
    """Bytes before the image in its file."""
    nodes: tuple[Node, ...]
    """The root, then each path after its parent."""

    def __repr__(self) -> str:
        command = [f"{self.writer} -b {self.block_size} {self.compressor.name}"]
        command += [*self.compressor.arguments, *self.options]
        rows = [_row(node, self.block_size) for node in self.nodes]
        return "\n    ".join([" ".join(command), f"offset {self.offset}", *rows])


# ---- Names and targets ---------------------------------------------------------------------------


def _any_bytes(excluded: str, max_size: int) -> st.SearchStrategy[bytes]:
    characters = st.characters(
        min_codepoint=1, max_codepoint=255, exclude_characters=excluded, codec=None
    )
    return st.text(characters, min_size=1, max_size=max_size).map(
        lambda drawn: drawn.encode("latin-1")
    )


def _fits_a_line(data: bytes) -> bool:
    """Whether bytes survive in a line of text: neither tool can quote all that it would take.

    Of a target both drop the space before it, gensquashfs what follows it too, as of a hard link's
    other name; to mksquashfs a backslash at the end continues the line.
    """
    return data == data.strip() and not data.endswith(b"\\") and b"\n" not in data


def names(writer: Writer) -> st.SearchStrategy[bytes]:
    """Names of any bytes, 255 at most."""
    odd = [b"...", b"a b", b"-", b"#", b"*", b'"', b"\\a", "ü".encode(), b"\xed\xa0\x80"]
    long = [letter * size for letter in (b"a", b"\xff") for size in (254, 255)]
    return (_any_bytes("/", 255) | st.sampled_from(odd + long)).filter(
        lambda name: name not in {b".", b".."} and (not writer.lines or _fits_a_line(name))
    )


def targets(writer: Writer) -> st.SearchStrategy[bytes]:
    """Targets of symlinks, of any bytes, up to what Linux allows."""
    odd = [b"/", b"..", b"//a/../b/", *(b"\xe9" * size for size in (255, 256, 4095))]
    return (_any_bytes("", 100) | st.sampled_from(odd)).filter(
        lambda target: not writer.lines or _fits_a_line(target)
    )


# ---- Trees ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Branch:
    node: Node
    children: dict[bytes, _Tree]


@dataclass(frozen=True, slots=True)
class _HardLink:
    choice: int
    """Which of the files before it, counted round and round."""


@dataclass(frozen=True, slots=True)
class _Copy:
    node: Node
    choice: int
    """Which of the files before it has its content."""


_Tree: TypeAlias = "Node | _Branch | _HardLink | _Copy"

_LINKABLE = ("file", "symlink", "block_device", "char_device", "fifo", "socket")
_IDS = st.sampled_from([0, 1000, 65535, 65536, 2**32 - 1]) | st.integers(0, 2**32 - 1)
_TIMES = st.sampled_from([0, 2**31 - 1, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
_DEVICES = st.tuples(st.integers(0, 4095), st.integers(0, 2**20 - 1))


_VALUES = {
    "nothing": b"",
    "short": b"shared",
    "long": b"long " * 30,
    "noise": Random(1).randbytes(8192),
    "blocks": bytes(range(256)) * 50,
    "largest": b"largest " * 8192,  # what Linux allows
}


def _xattrs(writer: Writer) -> st.SearchStrategy[dict[str, bytes]]:
    """Attributes: none, or one of the few sets that the paths of an image share; sets share values.
    In a tar stream the first `=` ends a name. squashfs has no place for other prefixes.
    """
    if not writer.xattrs:
        return st.just({})
    prefixes = st.sampled_from([b"user.", b"trusted.", b"security."])
    keys = st.builds(lambda prefix, name: _text(prefix + name), prefixes, _any_bytes("=", 246))
    known = dict(_VALUES)
    if writer.suite == "squashfs-tools-ng":
        del known["largest"]  # tar2sqfs takes 64 KiB for all attributes of a path and their names
    values = st.binary(max_size=40) | st.sampled_from(sorted(known)).map(lambda name: known[name])
    sets = st.lists(st.dictionaries(keys, values, min_size=1, max_size=4), min_size=1, max_size=4)
    return st.builds(
        lambda sets, choice: ({}, *sets)[choice % (len(sets) + 1)],
        st.shared(sets, key=f"attributes for {writer}"),
        st.integers(0, 4),
    )


def _nodes(
    writer: Writer, kind: str, **fields: st.SearchStrategy[object]
) -> st.SearchStrategy[Node]:
    """Nodes of a kind, still without a path."""
    return st.builds(
        Node,
        path=st.just(""),
        kind=st.just(kind),
        # No tool gives a symlink another mode, as Linux does not.
        mode=st.just(0o777) if kind == "symlink" else st.integers(0, 0o7777),
        uid=_IDS,
        gid=_IDS,
        mtime=_TIMES,
        xattrs=_xattrs(writer),
        **fields,
    )


def _leaves(writer: Writer, block_size: int) -> st.SearchStrategy[_Tree]:
    file = _nodes(writer, "file", content=contents(block_size))
    choices = st.integers(0, 9)
    leaves: dict[str, st.SearchStrategy[_Tree]] = {
        "symlink": _nodes(writer, "symlink", target=targets(writer).map(_text)),
        "block_device": _nodes(writer, "block_device", rdev=_DEVICES),
        "char_device": _nodes(writer, "char_device", rdev=_DEVICES),
        "fifo": _nodes(writer, "fifo"),
        "hard_link": st.builds(_HardLink, choices),
        "copy": st.builds(_Copy, _nodes(writer, "file"), choices),
        "file": file,
    }
    if writer.sockets:
        leaves["socket"] = _nodes(writer, "socket")
    kinds = (*leaves, *["file"] * 4)
    return st.sampled_from(kinds).flatmap(lambda kind: leaves[kind])


def _crowds(writer: Writer) -> st.SearchStrategy[dict[bytes, _Tree]]:
    """At most one directory of many entries, on both sides of what one header and what one block of
    ids can hold. Their lengths differ, so that each field straddles two metadata blocks somewhere.
    """

    def build(count: int, width: int) -> dict[bytes, _Tree]:
        children: dict[bytes, _Tree] = {
            b"%0*d" % (width, number): Node(
                path="",
                kind="symlink",
                mode=0o777,
                uid=100_000 + number,
                gid=200_000 + number,
                target="t" * (1 + number % 97),
                xattrs={"user.number": b"%d" % number} if writer.xattrs and width % 2 else {},
            )
            for number in range(count)
        }
        return {b"crowd": _Branch(directory(""), children)} if count else {}

    counts = st.sampled_from([0, 0, 0, 1, 255, 256, 257, 1100])
    return st.builds(build, counts, st.integers(4, 60))


@lru_cache(maxsize=64)
def _trees(writer: Writer, block_size: int) -> st.SearchStrategy[dict[bytes, _Tree]]:
    """What the root holds."""
    branch = _nodes(writer, "directory")
    trees = st.recursive(
        _leaves(writer, block_size),
        lambda inner: st.builds(_Branch, branch, st.dictionaries(names(writer), inner, max_size=4)),
        max_leaves=5,
    )
    few, many = (
        st.dictionaries(names(writer), trees, min_size=least, max_size=most)
        for least, most in ((0, 2), (3, 10))
    )
    return st.integers(0, 5).flatmap(lambda choice: many if choice else few)


# Small ones come often, for much happens in them in little time.
_BLOCK_SIZES = (*[4 << 10] * 6, *[8 << 10] * 2, 64 << 10, 128 << 10, 1 << 20)


@st.composite
def images(draw: st.DrawFn, writer: Writer) -> DrawnImage:
    """Anything that the writer can express."""
    block_size = draw(st.sampled_from(_BLOCK_SIZES))
    root = draw(_nodes(writer, "directory"))
    children = draw(_trees(writer, block_size)) | draw(_crowds(writer))
    if not writer.root:
        root = replace(root, uid=0, gid=0, xattrs={})
    nodes = _within_budget(_flat(root, children), block_size)
    if not writer.times:
        moment = draw(st.integers(0, 2**31 - 1))  # gensquashfs takes no later one
        nodes = [replace(node, mtime=moment) for node in nodes]
    options = draw(_options(writer))
    if {"-tailends", "-always-use-fragments"} & {*options} and _differ_in_tails(nodes, block_size):
        options += ("-no-duplicates",)
    return DrawnImage(
        writer=writer,
        block_size=block_size,
        compressor=draw(_compressors(writer, block_size)),
        options=options,
        offset=draw(st.sampled_from([0, 0, 1, 4096])) if writer.suite == "squashfs-tools" else 0,
        nodes=tuple(nodes),
    )


def _options(writer: Writer) -> st.SearchStrategy[tuple[str, ...]]:
    match writer.suite:
        case "squashfs-tools":
            return mksquashfs_options()
        case "squashfs-tools-ng":
            return ng_options(xattrs=writer.xattrs)
        case "s3archivefs":
            return own_flags()


def _compressors(writer: Writer, block_size: int) -> st.SearchStrategy[Compressor]:
    if writer.suite == "s3archivefs":
        return own_compressors()
    return compressors(writer.suite, block_size)


def _flat(root: Node, children: dict[bytes, _Tree]) -> list[Node]:
    nodes = [root]

    def chosen(choice: int, *kinds: str) -> Node | None:
        found = [node for node in nodes if node.kind in kinds]
        return found[choice % len(found)] if found else None

    def add(prefix: str, children: dict[bytes, _Tree]) -> None:
        for name, child in children.items():
            path = prefix + _text(name)
            match child:
                case Node():
                    nodes.append(replace(child, path=path))
                case _Branch():
                    nodes.append(replace(child.node, path=path))
                    add(path + "/", child.children)
                case _HardLink():
                    if original := chosen(child.choice, *_LINKABLE):
                        nodes.append(hard_link(path, original.path))
                case _Copy():
                    original = chosen(child.choice, "file")
                    content = original.content if original else b""
                    nodes.append(replace(child.node, path=path, content=content))

    add("", children)
    return nodes


def _within_budget(nodes: list[Node], block_size: int) -> list[Node]:
    """The same nodes, of files after the first few MiB only the tail ends: packing takes time."""
    left = 2 << 20
    kept = []
    for node in nodes:
        over = len(node.content) > left
        content = node.content[: len(node.content) % block_size] if over else node.content
        left -= len(content)
        kept.append(replace(node, content=content))
    return kept


def _differ_in_tails(nodes: list[Node], block_size: int) -> bool:
    """Whether files have all whole blocks in common, and not what follows them.

    Of such files mksquashfs 4.5.1 loses a fragment in up to a quarter of its runs, where it packs
    tail ends and looks for duplicates: every reader then finds other files' bytes in their place.
    """
    whole: dict[bytes, bytes] = {}
    for node in nodes:
        blocks = node.content[: len(node.content) // block_size * block_size]
        if blocks and whole.setdefault(blocks, node.content) != node.content:
            return True
    return False


# ---- Showing a failure ---------------------------------------------------------------------------


def _row(node: Node, block_size: int) -> str:
    if node.kind == "hard_link":
        return f"hard link {_brief(_bytes(node.path))} to {_brief(_bytes(node.link_to))}"
    words = [node.kind, f"{node.mode:04o} {node.uid}:{node.gid} @{node.mtime}"]
    words.append(_brief(_bytes(node.path)))
    if node.kind == "file":
        starts = range(0, len(node.content), block_size)
        holes = [not node.content[start : start + block_size].strip(b"\0") for start in starts]
        blocks = "".join("0" if hole else "x" for hole in holes)
        words += [f"blocks [{blocks}]", _brief(node.content)]
    elif node.target:
        words += ["to", _brief(_bytes(node.target))]
    elif node.rdev:
        words.append("{}:{}".format(*node.rdev))
    words += [f"{name!r}={_brief(value)}" for name, value in node.xattrs.items()]
    return " ".join(words)


def _brief(data: bytes) -> str:
    if len(data) <= 40:
        return repr(data)
    return f"{data[:12]!r}... ({len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:8]})"


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
