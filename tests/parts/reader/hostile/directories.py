"""Hostile directories: R1 to R16."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs import CorruptImageError, LimitExceededError, SquashFS
from tests.parts.reader.hostile.case import Case, read_file
from tests.support.images.built import (
    Image,
    Link,
    build,
    directory,
    entries,
    file,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def listing(fs: SquashFS) -> object:
    return fs.listdir("/")


def listing_of_d(fs: SquashFS) -> object:
    return fs.listdir("/d")


def walk(fs: SquashFS) -> object:
    return sum(len(files) for _, _, files in fs.walk("/"))


def in_d(**fields: int) -> Callable[[], Image]:
    """An image whose directory `/d` has a file, and these fields."""
    extended = bool(fields.pop("extended", 0))

    def make() -> Image:
        inner = directory({b"inner": file(b"inner")}, extended=extended)
        inner.fields |= fields
        return build(directory({b"d": inner}))

    return make


def run_of(count: int, *, said: int | None = None) -> Callable[[], Image]:
    """A root whose listing is one run of so many names, all of one file."""

    def make() -> Image:
        node = file(b"content")
        # Its inode is the first, at the start of its table.
        rows = [(0, 0, 2, b"%03d" % number) for number in range(count)]
        tree = directory({b"file": node}, listing=entries(0, 1, *rows, count=said))
        return build(tree)

    return make


def named(*names: bytes) -> Callable[[], Image]:
    """A root with these names in this order."""
    return lambda: build(directory({name: file(b"content") for name in names}))


def twice(name: bytes) -> Image:
    rows = [(0, 0, 2, name), (0, 0, 2, name)]
    return build(directory({b"file": file(b"content")}, listing=entries(0, 1, *rows)))


def entry(**fields: int) -> Callable[[], Image]:
    """The root's entry for `/file` with these fields in place of its own."""
    return lambda: build(directory({b"real": (node := file(b"content")), b"z": Link(node, fields)}))


def stat_z(fs: SquashFS) -> object:
    return fs.stat("/z")


def loop(length: int) -> Image:
    """A directory that its own descendant contains."""
    top = directory()
    node = top
    for _ in range(length - 1):
        below = directory()
        node.children[b"d"] = below
        node = below
    root = directory({b"d": top})
    node.children[b"d"] = Link(top, {})
    # An entry stores its inode's place, which is known once all inodes are placed.
    return build(root)


def two_parents() -> Image:
    shared = directory({b"file": file(b"content")})
    return build(directory({b"a": shared, b"b": shared}))


def deep(levels: int) -> Image:
    root = node = directory()
    for _ in range(levels):
        below = directory()
        node.children[b"d"] = below
        node = below
    return build(root)


def shared_listings(directories: int) -> Image:
    """So many directories with one listing of 256 names."""
    rows = [(0, 0, 2, b"%03d" % number) for number in range(256)]
    listing = entries(0, 1, *rows)
    tree = {b"0": file(b"content"), b"1": directory(listing=listing, extended=True)}
    # The first listing of the table: that of the directory with the lowest number.
    same = {
        b"d%05d" % number: directory(
            listing=b"", extended=True, start=0, offset=0, size=len(listing) + 3
        )
        for number in range(directories - 1)
    }
    return build(directory(tree | same, extended=True))


def indexed(*index: tuple[int, int, bytes], **fields: int) -> Callable[[], Image]:
    """A root of three blocks of names, with this index."""

    def make() -> Image:
        names = {b"%03d" % number + b"n" * 240: file() for number in range(90)}
        inner = directory(names, index=index)
        inner.fields |= fields
        return build(directory({b"r": inner}))

    return make


def negative_delta() -> Image:
    """The run's inode number is above the entry's, as hard links bring about."""
    listing = entries(0, 2, (0, -1, 2, b"file"))
    return build(directory({b"file": file(b"content")}, listing=listing))


def number_of_a_directory(base: int, delta: int) -> Image:
    """The entry of a directory whose inode has number 1."""
    return build(directory({b"d": directory({})}, listing=entries(0, base, (0, delta, 1, b"d"))))


def named_behind_its_index() -> Image:
    """The last name before the place to which the index leads comes after the first name there."""
    names = [b"%03d" % number + b"n" * 240 for number in range(90)]
    names[31] = b"z" + names[31][1:]
    inner = directory({name: file() for name in names}, index=[(RUN * 32, 8194, names[32])])
    return build(directory({b"d": inner}))


def every_name_or_corrupt(fs: SquashFS) -> object:
    """Look every name up; an error is an answer, a wrong answer is none."""
    answers = set()
    for number in range(90):
        name = f"/r/{number:03d}{'n' * 240}"
        try:
            fs.stat(name)
        except CorruptImageError:
            answers.add("corrupt")
        else:
            answers.add("found")
        try:
            absent = fs.exists(name + "x")
        except CorruptImageError:
            absent = False
        assert not absent
    return bool(answers)


# One run a name: header and entry take 20 bytes, the name 243.
RUN = 263

CASES: dict[str, Case] = {
    **{
        f"R1-{size}-{extended}": Case(
            image=in_d(size=size, extended=extended),
            error=CorruptImageError if size else None,
            ask=listing_of_d,
            answer=[],
        )
        for size in (0, 1, 2)
        for extended in (0, 1)
    },
    "R2": Case(
        image=in_d(size=3, start=2**32 - 1, offset=65535), error=None, ask=listing_of_d, answer=[]
    ),
    **{
        f"R3-{size}": Case(image=in_d(size=size), ask=listing_of_d, match="has a size")
        for size in (4, 10, 14)
    },
    "R4-256": Case(
        image=run_of(256),
        error=None,
        ask=listing,
        answer=[f"{number:03d}" for number in range(256)],
    ),
    "R4-257": Case(image=run_of(257), ask=listing, match="counts 257 entries"),
    "R4-4-billion": Case(
        image=run_of(2, said=2**32 - 1), ask=listing, match="counts 4294967296 entries"
    ),
    **{
        f"R5-{size}": Case(image=in_d(size=size), ask=listing_of_d)
        for size in (16, 24, 27, 29, 500, 65535)
    },
    **{
        f"R5-extended-{size}": Case(
            image=in_d(extended=1, size=size), ask=listing_of_d, match="more than its table"
        )
        for size in (2**24, 2**31, 2**32 - 1)
    },
    **{
        f"R6-squashfuse-153-{size}": Case(
            image=entry(size=size), ask=listing, match="too long|ends within"
        )
        for size in (256, 65535)
    },
    **{
        f"R7-{name!r}": Case(image=named(name), ask=listing, match="has type 2 and name")
        for name in (b".", b"..", b"a/b", b"/etc/passwd", b"../x", b"nul\0", b"\0", b"/")
    },
    "R8": Case(
        image=named(b"\xff" * 255, b"\xff" * 256),
        error=None,
        ask=lambda fs: [
            *(fs.stat(name).size for name in fs.listdir("/")),
            fs.stat(b"\xff" * 255).size,
        ],
        answer=[7, 7, 7],
    ),
    "R9-twice": Case(image=lambda: twice(b"file"), ask=listing, match="out of order"),
    "R9-twice-look-up": Case(image=lambda: twice(b"file"), ask=read_file, match="out of order"),
    "R9-squashfs-tools-72-unsorted": Case(
        image=named(b"b", b"a"), ask=listing, match="out of order"
    ),
    **{
        f"R10-type-{kind}": Case(image=entry(type=kind), ask=stat_z)
        for kind in (1, 3, 7, 0, 9, 65535)
    },
    **{
        f"R11-{delta}": Case(image=entry(delta=delta), ask=stat_z, match="says inode")
        for delta in (1, -1, 32767)
    },
    "R11-number-below-zero": Case(image=lambda: number_of_a_directory(2, -300), ask=walk),
    "R11-number-above-32-bits": Case(image=lambda: number_of_a_directory(-1, 32_767), ask=walk),
    "R11-u-boot-negative-delta": Case(
        image=negative_delta, error=None, answer=(["file"], 1, b"content")
    ),
    **{
        f"R12-{reference:#x}": Case(image=entry(reference=reference), ask=stat_z)
        for reference in (1 << 40, 0xFFFFFF << 16, 1, 10, 33)
    },
    "R13-itself": Case(image=lambda: loop(1), ask=walk, match="in the tree twice"),
    "R13-ng-12-two": Case(image=lambda: loop(2), ask=walk, match="in the tree twice"),
    "R13-two-parents": Case(image=two_parents, ask=walk, match="in the tree twice"),
    "R13-look-up": Case(
        image=lambda: loop(2), error=None, ask=lambda fs: fs.exists("/d" * 500), answer=True
    ),
    "R14": Case(
        image=lambda: deep(20_000),
        error=LimitExceededError,
        ask=walk,
        match="walk_depth: 1025",
        reads=2000,
        total=1 << 24,
        whole=False,
    ),
    "R15": Case(
        image=lambda: shared_listings(1000),
        error=None,
        ask=walk,
        answer=256 * 1000 + 1,
        reads=400,
        total=1 << 22,
        whole=False,
    ),
    "R16-name-behind-it": Case(
        image=named_behind_its_index, ask=listing_of_d, match="out of order"
    ),
    **{
        f"R16-{name}": Case(
            image=image, error=None, ask=every_name_or_corrupt, answer=True, reads=600
        )
        for name, image in {
            "offset": indexed((RUN * 40 + 7, 0, b"040" + b"n" * 240)),
            "past-the-end": indexed((2**32 - 1, 0, b"040" + b"n" * 240)),
            "block": indexed((RUN * 40, 50_000, b"040" + b"n" * 240)),
            "other-name": indexed((RUN * 40, 8194, b"041" + b"n" * 240)),
            "unsorted": indexed(
                (RUN * 60, 8194, b"060" + b"n" * 240), (RUN * 40, 8194, b"040" + b"n" * 240)
            ),
            "count": indexed((RUN * 40, 8194, b"040" + b"n" * 240), index_count=65535),
            "long-name": indexed((RUN * 40, 8194, b"n" * 300)),
        }.items()
    },
}
