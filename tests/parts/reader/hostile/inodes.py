"""Hostile inodes: I1 to I19."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING

from s3archivefs import FileKind, SquashFS
from tests.parts.reader.hostile.case import Case
from tests.parts.reader.hostile.directories import entry, stat_z
from tests.support.images.built import (
    DATA_STORED,
    Image,
    Node,
    build,
    directory,
    file,
    special,
    symlink,
)

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 4096


def only(node: Node, *others: Node, **options: object) -> Callable[[], Image]:
    """An image of a file `/file`, and of others `/other0` and so on."""

    def make() -> Image:
        named = {b"other%d" % number: other for number, other in enumerate(others)}
        return build(directory({b"file": node} | named), **options)  # type: ignore[arg-type]

    return make


def typed(number: int) -> Image:
    image = only(file(b"content"))()
    return image.put(image.inode(b"/file"), "H", number)


def cut_last_inode() -> Image:
    """The root's record, the last, lacks its last four bytes."""
    image = only(file(b"content"))()
    stream = bytes(image.data[image.table("inode") + 2 : image.table("directory")])[:-4]
    payload = (len(stream) | 1 << 15).to_bytes(2, "little") + stream
    return only(file(b"content"), tables={"inode": payload})()


def owned(which: str, index: int) -> Callable[[], Image]:
    node = file(b"content")
    node.fields[which] = index
    return only(node)


def stat_file(fs: SquashFS) -> object:
    return fs.stat("/file").size


def attributes(fs: SquashFS) -> object:
    return fs.listxattr("/file")


def odd_values(fs: SquashFS) -> object:
    stats = {name: fs.stat(name) for name in fs.listdir("/")}
    return {name: (one.nlink, one.mtime, one.rdev, one.kind) for name, one in stats.items()}


def deflated(size: int) -> Image:
    """A block of 4 KiB that holds so many bytes in truth."""
    stream = zlib.compress(b"x" * size)
    node = file(b"x" * BLOCK, words=[len(stream)])
    image = build(directory({b"file": node}))
    image.data[96 : 96 + len(stream)] = stream
    return image


CASES: dict[str, Case] = {
    **{
        f"I1-type-{number}": Case(image=partial(typed, number), match="has type")
        for number in (0, 15, 65535)
    },
    "I2-number-0": Case(image=only(file(b"content", number=0)), match="inode number 0"),
    "I2-number-above": Case(image=only(file(b"content", number=3)), match="inode number 3"),
    "I2-one-number-twice": Case(
        image=only(file(b"content", number=2), symlink(b"file", number=2)),
        error=None,
        answer=(["file", "other0"], 2, b"content"),
    ),
    **{
        f"I3-mode-{mode:o}": Case(image=only(file(b"content", mode=mode)), match="mode")
        for mode in (0o100644, 0o170000, 0o10000)
    },
    "I4": Case(image=cut_last_inode),
    **{
        f"I5-squashfuse-158-offset-{offset}": Case(image=entry(offset=offset), ask=stat_z)
        for offset in (2000, 8191, 8192, 65535)
    },
    **{
        f"I6-{which}-{index}": Case(image=owned(which, index), match=f"names id {index} of 1")
        for which in ("uid", "gid")
        for index in (1, 65535)
    },
    **{
        f"I7-size-{size:#x}": Case(
            image=only(file(extended=True, size=size, words=[])), match="claims a size"
        )
        for size in (2**63, 2**64 - 1)
    },
    "I8-stat": Case(
        image=only(file(extended=True, size=2**40, words=[0] * 5)),
        error=None,
        ask=stat_file,
        answer=2**40,
    ),
    "I8-ng-14-read": Case(
        image=only(file(extended=True, size=2**40, words=[0] * 5)),
        ask=lambda fs: fs.open("/file").read(10),
        match="block list of inode 1",
        reads=8,
    ),
    "I9": Case(
        image=only(file(extended=True, size=2**62, start=2**50, words=[])),
        ask=lambda fs: fs.open("/file").read(10),
        match="block list of inode 1",
    ),
    "I10": Case(
        image=only(file(b"x" * BLOCK, fragment=0, words=[]), fragments=[(96, 9 | DATA_STORED)]),
        match="leave no tail",
    ),
    **{
        f"I11-fragment-{index}": Case(
            image=only(file(b"content", in_fragment=True, fragment=index)),
            match=f"fragment {index} of 1",
        )
        for index in (1, 2**32 - 2)
    },
    "I11-go-diskfs-no-fragments": Case(
        image=only(file(b"content", fragment=0, words=[])), match="without fragments"
    ),
    **{
        f"I12-squashfs-tools-398-offset-{offset}": Case(
            image=only(file(b"content", in_fragment=True, offset=offset)), match="tail ends"
        )
        for offset in (1, 8, 2**32 - 1)
    },
    **{
        f"I13-bit-{bit}": Case(
            image=only(file(b"content", words=[7 | DATA_STORED | 1 << bit])), match="size word"
        )
        for bit in (25, 28, 31)
    },
    **{
        f"I14-{word:#x}": Case(image=only(file(b"x" * BLOCK, words=[word])), match="size word")
        for word in (BLOCK + 1, BLOCK + 1 | DATA_STORED, 2**24 - 1)
    },
    **{
        f"I15-start-{start}": Case(
            image=only(file(b"content", start=start)), match="whose data lies from 96"
        )
        for start in (0, 95, 10_000, 2**32 - 1)
    },
    "I16-short": Case(
        image=only(file(b"x" * BLOCK, words=[BLOCK - 1 | DATA_STORED])), match="4095 bytes instead"
    ),
    "I16-short-compressed": Case(
        image=lambda: deflated(BLOCK - 1), match="4095 bytes instead of 4096"
    ),
    # No bytes are to be read: HTTP has no such range.
    "I16-stored-empty": Case(
        image=only(file(b"x" * BLOCK, words=[DATA_STORED])), match="0 bytes instead of 4096"
    ),
    "I16-long-compressed": Case(image=lambda: deflated(BLOCK + 1), match="decompress"),
    **{
        f"I17-ng-13-size-{size}": Case(
            image=only(file(b"content"), symlink(b"target", extended=extended, size=size)),
            ask=lambda fs: fs.readlink("/other0"),
        )
        for size in (0, 65536, 2**31, 2**32 - 1)
        for extended in (False, True)
    },
    "I17-nul": Case(
        image=only(file(b"content"), symlink(b"tar\0get")),
        ask=lambda fs: fs.readlink("/other0"),
        match="NUL",
    ),
    "I18-index-too-large": Case(
        image=only(
            file(b"content", extended=True, xattr=1), pairs=b"\0\0\0\0\0\0\0\0", sets=[(0, 1, 0)]
        ),
        ask=attributes,
        match="xattr id 1 of 1",
    ),
    "I18-go-diskfs-no-table": Case(
        image=only(file(b"content", extended=True, xattr=0)), error=None, ask=attributes, answer=[]
    ),
    "I19": Case(
        image=only(
            file(b"content", extended=True, nlink=0, sparse=2**64 - 1, mtime=2**32 - 1),
            special(5, nlink=2**32 - 1, rdev=2**32 - 1),
        ),
        error=None,
        ask=odd_values,
        answer={
            "file": (0, 2**32 - 1, 0, FileKind.FILE),
            "other0": (2**32 - 1, 0, 2**32 - 1, FileKind.CHAR_DEVICE),
        },
    ),
}
