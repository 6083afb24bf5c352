"""Images for tests: the fixtures, what an image reads back as, what unsquashfs says of it."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import subprocess
import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import s3archivefs
from fixtures.build import build
from fixtures.recipes import Recipe
from tests.support.images.readers import readers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fixtures.tree import Node
    from s3archivefs.format import InodeHeader

DIRECTORY = Path(__file__).parents[3] / "fixtures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """All that a reader can say of one path, in comparable form."""

    path: str
    kind: str
    mode: int
    """Type and permission bits."""
    uid: int
    gid: int
    mtime: int
    nlink: int
    size: int
    """Bytes; 0 for what has no content."""
    sha256: str | None = None
    target: str | None = None
    rdev: tuple[int, int] | None = None
    same_inode: frozenset[str] = frozenset()
    """The paths that are hard links to one file; empty for a file with one name."""

    def holds(self, content: bytes) -> bool:
        """Whether this is the file's content."""
        return self.sha256 == _sha256(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """A committed image and what its manifest says."""

    name: str
    image: Path
    offset: int
    size: int
    sha256: str
    tree: list[Observed]


def open_fixture(fixture: Fixture) -> s3archivefs.SquashFS:
    """The fixture's image, opened by path."""
    return s3archivefs.open(fixture.image, offset=fixture.offset)


def make_image(directory: Path, tree: tuple[Node, ...], *options: str, name: str = "t") -> Path:
    """An image that mksquashfs makes of `tree`, as a recipe would: 4 KiB blocks unless said."""
    image = directory / f"{name}.sqfs"
    build(Recipe(name=name, shape="made by a test", tree=tree, options=options), image)
    return image


def observe(fs: s3archivefs.SquashFS) -> list[Observed]:
    """Everything in the image, in byte order of the paths, through public names only."""
    paths = ["/", *_descend(fs, "/")]
    stats = {path: fs.stat(path, follow_symlinks=False) for path in paths}
    names: dict[int, set[str]] = defaultdict(set)
    for path, found in stats.items():
        names[found.inode_number].add(path)
    observed = []
    for path, found in stats.items():
        kind = found.kind.name.lower()
        links = names[found.inode_number]
        observed.append(
            Observed(
                path=path,
                kind=kind,
                mode=found.mode,
                uid=found.uid,
                gid=found.gid,
                mtime=found.mtime,
                nlink=found.nlink,
                size=found.size,
                sha256=_sha256(fs.read_bytes(path)) if kind == "file" else None,
                target=fs.readlink(path) if kind == "symlink" else None,
                rdev=split_rdev(found.rdev) if kind.endswith("device") else None,
                same_inode=frozenset(links) if len(links) > 1 else frozenset(),
            )
        )
    return sorted(observed, key=lambda each: each.path.encode("utf-8", "surrogateescape"))


def record_of(fs: s3archivefs.SquashFS, path: str) -> InodeHeader:
    """The inode's record as the image has it."""
    reference = fs.stat(path, follow_symlinks=False).reference
    return readers_of(fs).inodes.inode(reference).header


def split_rdev(rdev: int) -> tuple[int, int]:
    """Major and minor of a device in the kernel's encoding, which is not the host's (D30)."""
    return (rdev & 0xFFF00) >> 8, (rdev & 0xFF) | ((rdev >> 12) & 0xFFF00)


def _descend(fs: s3archivefs.SquashFS, top: str) -> Iterator[str]:
    for entry in fs.scandir(top):
        yield entry.path
        if entry.kind is s3archivefs.FileKind.DIRECTORY:
            yield from _descend(fs, entry.path)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


FORMATS = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "symlink": stat.S_IFLNK,
    "block_device": stat.S_IFBLK,
    "char_device": stat.S_IFCHR,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
}
"""The bits of a mode that say what a node is."""


def _expected(records: list[dict[str, Any]]) -> list[Observed]:
    groups: dict[str, set[str]] = defaultdict(set)
    for record in records:
        groups[record.get("hard_link_to", record["path"])].add(record["path"])
    expected = []
    for record in records:
        values = dict(record)
        group = groups[values.pop("hard_link_to", values["path"])]
        values.pop("xattrs", None)
        values["mode"] = int(values["mode"], 8) | FORMATS[values["kind"]]
        values.setdefault("size", 0)
        if "rdev" in values:
            values["rdev"] = tuple(values["rdev"])
        values["same_inode"] = frozenset(group) if len(group) > 1 else frozenset()
        expected.append(Observed(**values))
    return expected


def _load_fixtures() -> dict[str, Fixture]:
    """Every fixture of the manifest, by name."""
    manifest = json.loads((DIRECTORY / "manifest.json").read_text(encoding="ascii"))
    return {
        name: Fixture(
            name=name,
            image=DIRECTORY / entry["image"],
            offset=entry["offset"],
            size=entry["bytes"],
            sha256=entry["sha256"],
            tree=_expected(entry["tree"]),
        )
        for name, entry in manifest.items()
    }


FIXTURES = _load_fixtures()
"""Every committed image, by name."""

# ---- A second opinion ----------------------------------------------------------------------------

_LISTED = re.compile(
    rb"(?P<mode>[-a-zST]{10}) (?P<uid>\d+)/(?P<gid>\d+) +(?P<size>\d+|-?\d+, *-?\d+) "
    rb"(?P<date>\d{4}-\d\d-\d\d \d\d:\d\d) root(?P<name>.*?)",
    re.DOTALL,
)


def unsquashfs_listing(image: Path, offset: int = 0) -> list[tuple[str, ...]]:
    """What `unsquashfs -lls` prints, one row a path, ids as numbers and times in UTC.

    A row is mode, uid, gid, minute of the mtime, path, then the size of a file and the target of a
    symlink. The tool gives a directory's size on disk, and misprints devices with large minors, so
    neither is in the rows.
    """
    output = run_tool(
        "unsquashfs", "-lln", "-UTC", "-d", "root", "-o", str(offset), str(image)
    ).stdout
    # A name may hold a newline: a row starts where a mode stands.
    rows = re.split(rb"\n(?=[-a-zST]{10} \d+/)", output.removesuffix(b"\n"))
    listing = []
    for row in rows:
        match = _LISTED.fullmatch(row)
        assert match, row
        fields = {
            key: value.decode("utf-8", "surrogateescape")
            for key, value in match.groupdict().items()
        }
        name, _, target = fields["name"].partition(" -> ")
        kind = fields["mode"][0]
        listing.append(
            (
                *(fields[key] for key in ("mode", "uid", "gid", "date")),
                (name if kind == "l" else fields["name"]) or "/",
                *([fields["size"]] if kind in "-l" else []),
                *([target] if kind == "l" else []),
            )
        )
    return sorted(listing, key=lambda row: row[4].encode("utf-8", "surrogateescape"))


def as_listing(tree: list[Observed]) -> list[tuple[str, ...]]:
    """The rows that `unsquashfs_listing` gives for such a tree."""
    rows = []
    for each in tree:
        date = datetime.fromtimestamp(each.mtime, UTC).strftime("%Y-%m-%d %H:%M")
        row = [stat.filemode(each.mode), str(each.uid), str(each.gid), date, each.path]
        if each.kind in {"file", "symlink"}:
            row.append(str(each.size))
        if each.target is not None:
            row.append(each.target)
        rows.append(tuple(row))
    return rows


def run_tool(*command: str) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; its output, or an assertion error that shows what it said."""
    result = subprocess.run(command, capture_output=True, check=False)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr.decode(errors='replace')}"
    return result


# ---- Devices -------------------------------------------------------------------------------------


class CountingDevice:
    """A device that remembers what was read: (offset, length) of each `pread`, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lock = threading.Lock()
        self.reads: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self._data)

    def pread(self, offset: int, length: int) -> bytes:
        with self._lock:
            self.reads.append((offset, length))
        return self._data[offset : offset + length]

    def forget(self) -> None:
        """Start counting anew."""
        self.reads.clear()

    @property
    def total(self) -> int:
        """Bytes read since the start or `forget`."""
        return sum(length for _, length in self.reads)


class ShortDevice:
    """A device that says it has `size` bytes and gives only those of `data`."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self.size = size

    def pread(self, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]
