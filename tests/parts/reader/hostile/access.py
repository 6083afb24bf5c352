"""Hostile symlinks, xattrs and ways of access: L1 to L4, X1 to X6, A1 to A5."""

from __future__ import annotations

import ctypes
import errno
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from s3archivefs import (
    CorruptImageError,
    LimitExceededError,
    SquashFS,
    TruncatedImageError,
)
from tests.parts.reader.hostile.case import Case, read_file
from tests.support.images.built import DATA_STORED, Image, Node, build, directory, file, symlink

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import BlockDevice

BLOCK = 4096
M_ARENA_MAX = -8  # malloc.h
ABOVE = b"../" * 20


def tree(**links: bytes) -> Callable[[], Image]:
    """An image of `/etc/passwd`, and of links in its root and in `/d`."""

    def make() -> Image:
        named: dict[bytes, Node] = {
            name.encode(): symlink(target) for name, target in links.items()
        }
        inner = directory({b"up": symlink(ABOVE + b"etc/passwd")})
        passwd = directory({b"passwd": file(b"inside")})
        return build(directory(dict(sorted((named | {b"d": inner, b"etc": passwd}).items()))))

    return make


def chain(links: int) -> Callable[[], Image]:
    """A file behind so many links, `/n01` the farthest."""
    targets = {f"n{number:02d}": b"n%02d" % (number + 1) for number in range(1, links)}
    return tree(**targets, **{f"n{links:02d}": b"etc/passwd"})


def doubling(links: int) -> Callable[[], Image]:
    """Links of which each goes twice through the one before."""
    targets = {"l00": b"d"}
    for number in range(1, links):
        before = b"l%02d" % (number - 1)
        targets[f"l{number:02d}"] = before + b"/../" + before
    return tree(**targets)


def long_targets() -> Image:
    """Each of these links is followed once more for each of the 20 times that the next names it."""
    targets = {"m0": b"d/.."}
    for number in range(1, 4):
        targets[f"m{number}"] = b"/".join([b"m%d" % (number - 1)] * 800)
    return tree(**targets)()


def pair(kind: int, name: bytes, value: bytes) -> bytes:
    return struct.pack("<HH", kind, len(name)) + name + struct.pack("<I", len(value)) + value


def elsewhere(name: bytes, reference: int, size: int = 8) -> bytes:
    """A pair whose value is said to stand at the reference."""
    head = struct.pack("<HH", 0x100, len(name)) + name
    return head + struct.pack("<IQ", size, reference)


def with_pairs(
    *pairs: bytes, count: int | None = None, size: int = 0, reference: int = 0
) -> Callable[[], Image]:
    """An image whose `/file` has these pairs."""
    number = len(pairs) if count is None else count
    return lambda: build(
        directory({b"file": file(b"content", extended=True, xattr=0)}),
        pairs=b"".join(pairs),
        sets=[(reference, number, size)],
    )


def header_with(layout: str, offset: int, value: int) -> Callable[[], Image]:
    """The xattr table's header with another value in it."""

    def make() -> Image:
        image = with_pairs(KIND)()
        return image.put(image.table("xattr") + offset, layout, value)

    return make


def header_past_the_end() -> Image:
    image = with_pairs(KIND)()
    return image.put_superblock(bytes_used=image.table("xattr") + 10)


def values(fs: SquashFS) -> object:
    return {name: fs.getxattr("/file", name) for name in fs.listxattr("/file")}


def value_of_a(fs: SquashFS) -> object:
    return fs.getxattr("/file", "user.a")


def passwd_by(path: str) -> Callable[[SquashFS], object]:
    return lambda fs: fs.read_bytes(path)


KIND = pair(0, b"kind", b"a value")
CONTENT = b"".join(b"%07d\n" % number for number in range(3 * BLOCK // 8))


# ---- Devices that break their contract -----------------------------------------------------------


class StoreError(OSError):
    """What a remote device raises where its object was replaced."""


class Device:
    """A device that answers rightly for a while."""

    def __init__(
        self, device: BlockDevice, answer: Callable[[bytes], object], healthy: int
    ) -> None:
        self._device = device
        self._answer = answer
        self._healthy = healthy
        self.size = device.size

    def pread(self, offset: int, length: int) -> bytes:
        self._healthy -= 1
        right = self._device.pread(offset, length)
        return right if self._healthy >= 0 else self._answer(right)  # type: ignore[return-value]  # that is what is tested


def answering(
    answer: Callable[[bytes], object], *, healthy: int
) -> Callable[[BlockDevice], BlockDevice]:
    return lambda device: Device(device, answer, healthy)


def replaced(_: bytes) -> object:
    raise StoreError(errno.ESTALE, "the object was replaced")


def content() -> Image:
    return build(directory({b"file": file(CONTENT)}))


def by_200_threads(fs: SquashFS) -> object:
    # Stacks and malloc's arenas of the usual size would fill the address space by themselves.
    threading.stack_size(1 << 18)
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)
    all_here = threading.Barrier(200)

    def read(_: int) -> bool:
        all_here.wait(timeout=60)
        return fs.read_bytes("/file") == CONTENT

    with ThreadPoolExecutor(200) as pool:
        return set(pool.map(read, range(200)))


# ---- Much for little -----------------------------------------------------------------------------


def holes(blocks: int) -> Callable[[], Image]:
    return lambda: build(
        directory({b"file": file(extended=True, size=blocks * BLOCK, words=[0] * blocks)})
    )


def first_bytes(fs: SquashFS) -> object:
    with fs.open("/file") as opened:
        return opened.read(10)


def many_files(files: int, **options: bool) -> Callable[[], Image]:
    """So many files in directories of 200, all with the same tail, or the same blocks."""

    def make() -> Image:
        block = b"x" * 3000
        shared: dict[str, int]
        if options.get("in_fragment"):
            shared = {"fragment": 0, "size": len(block)}
            words = []
        else:
            shared = {"start": 96, "size": len(block)}
            words = [len(block) | DATA_STORED]

        def alike() -> Node:
            node = file(words=words)
            node.fields |= shared
            return node

        first = file(block, in_fragment=options.get("in_fragment", False))
        named = {
            b"%06d" % number: directory({b"%03d" % one: alike() for one in range(200)})
            for number in range(files // 200)
        }
        return build(directory({b"!": directory({b"0": first})} | named))

    return make


def all_files(fs: SquashFS) -> object:
    paths = (f"{top}/{name}" for top, _, names in fs.walk("/") for name in names)
    return {fs.read_bytes(path) for path in paths} == {b"x" * 3000}


CASES: dict[str, Case] = {
    **{
        f"L1-{name}": Case(image=image, error=OSError, ask=passwd_by(path), match="Too many levels")
        for name, image, path in (
            ("itself", tree(self=b"self"), "/self"),
            ("two", tree(a=b"b", b=b"a"), "/a"),
            ("41", chain(41), "/n01"),
            ("through", tree(self=b"self/x"), "/self"),
        )
    },
    "L1-40": Case(image=chain(40), error=None, ask=passwd_by("/n01"), answer=b"inside"),
    **{
        f"L2-{name}": Case(image=image, error=None, ask=passwd_by(path), answer=b"inside")
        for name, image, path in (
            ("absolute", tree(link=b"/etc/passwd"), "/link"),
            ("above", tree(link=ABOVE + b"etc/passwd"), "/link"),
            ("above-from-below", tree(), "/d/up"),
            ("in-the-path", tree(), "/d/../../../etc/passwd"),
        )
    },
    "L3-directory": Case(image=tree(link=b"etc"), error=IsADirectoryError, ask=passwd_by("/link")),
    "L3-through-a-file": Case(
        image=tree(link=b"etc/passwd"), error=NotADirectoryError, ask=passwd_by("/link/x")
    ),
    "L4-doubling": Case(
        image=doubling(20), error=OSError, ask=passwd_by("/l19"), match="Too many levels"
    ),
    "L4-long": Case(
        image=long_targets, error=OSError, ask=passwd_by("/m3"), match="Too many levels"
    ),
    **{
        f"X1-count-{count}": Case(image=header_with("I", 8, count), ask=values, match="claims to")
        for count in (0, 2**31, 2**32 - 1)
    },
    **{
        f"X1-start-{start}": Case(image=header_with("Q", 0, start), ask=values, match="pairs start")
        for start in (0, 96, 2**40, 2**64 - 1)
    },
    "X1-header-past-the-end": Case(image=header_past_the_end, ask=values, match="header runs past"),
    "X2-count-0": Case(image=with_pairs(KIND, count=0), ask=values, match="is empty"),
    "X2-count-4-billion": Case(
        image=with_pairs(KIND, count=2**32 - 1), ask=values, match="cannot be within"
    ),
    "X2-count-above": Case(image=with_pairs(KIND, count=3), ask=values),
    "X2-size": Case(
        image=with_pairs(KIND, size=2**32 - 1),
        error=None,
        ask=values,
        answer={"user.kind": b"a value"},
    ),
    "X2-many": Case(
        image=with_pairs(*(pair(0, b"%05d" % number, b"") for number in range(5000))),
        error=LimitExceededError,
        ask=values,
        match="xattrs: 5000",
    ),
    "X3-name": Case(
        image=with_pairs(struct.pack("<HH", 0, 65535) + KIND), ask=values, match="xattr table"
    ),
    "X3-value": Case(
        image=with_pairs(struct.pack("<HH4sI", 0, 4, b"kind", 2**32 - 1) + b"abc"), ask=values
    ),
    "X3-value-asked-for": Case(
        image=with_pairs(struct.pack("<HH1sI", 0, 1, b"a", 2**32 - 1) + b"abc"),
        ask=value_of_a,
        match="cannot be within",
    ),
    "X4-size": Case(
        image=with_pairs(elsewhere(b"a", 0, size=9)), ask=value_of_a, match="no reference"
    ),
    **{
        f"X4-outside-{reference:#x}": Case(
            image=with_pairs(elsewhere(b"a", reference)), ask=value_of_a
        )
        for reference in (8000, 8192, 65535, 1 << 20 << 16, 2**64 - 1)
    },
    # One hop: what stands there is taken for a value, and is 8 bytes long.
    "X4-itself": Case(
        image=with_pairs(elsewhere(b"a", 5)),
        error=None,
        ask=value_of_a,
        answer=struct.pack("<Q", 5),
    ),
    **{
        f"X5-type-{kind:#x}": Case(
            image=with_pairs(pair(kind, b"odd", b"x"), KIND),
            error=None,
            ask=values,
            answer={"user.kind": b"a value"},
        )
        for kind in (3, 100, 255, 0x200, 0x8000)
    },
    "X6": Case(
        image=with_pairs(pair(0, b"a", b"first"), pair(0, b"a", b"second")),
        error=None,
        ask=values,
        answer={"user.a": b"first"},
    ),
    **{
        f"A1-{name}-after-{healthy}": Case(
            image=content, error=error, match=match, wrap=answering(answer, healthy=healthy)
        )
        for healthy in (0, 1, 3)
        for name, answer, error, match in (
            ("short", lambda right: right[:-1], TruncatedImageError, "the device returned"),
            ("nothing", lambda _: b"", TruncatedImageError, "the device returned 0 bytes"),
            ("none", lambda _: None, TruncatedImageError, "the device returned 0 bytes"),
            ("longer", lambda right: right + b"x", CorruptImageError, "the device returned"),
        )
    },
    "A2": Case(
        image=content, error=StoreError, match="replaced", wrap=answering(replaced, healthy=4)
    ),
    "A3": Case(
        image=content, error=None, ask=by_200_threads, answer={True}, reads=220, total=4 << 20
    ),
    "A4-read-all": Case(
        image=holes(2**18),
        error=LimitExceededError,
        ask=read_file,
        match="read_all_bytes: 1073741824",
        reads=10,
        whole=False,
    ),
    "A4-read-10": Case(
        image=holes(2**18),
        error=None,
        ask=first_bytes,
        answer=bytes(10),
        reads=140,  # of the block list, 1 MiB in metadata blocks of 8 KiB
        total=2 << 20,
        whole=False,
    ),
    **{
        f"A5-{name}": Case(
            image=many_files(5000, in_fragment=in_fragment),
            error=None,
            ask=all_files,
            answer=True,
            reads=200,
            total=2 << 20,
            whole=False,
        )
        for name, in_fragment in (("fragment", True), ("blocks", False))
    },
}
