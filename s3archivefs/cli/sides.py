"""What `diff` compares: an image, or a directory beside it, behind the same names."""

from __future__ import annotations

import errno
import os
import sys
from argparse import Namespace
from contextlib import closing, contextmanager
from stat import S_IFMT
from typing import TYPE_CHECKING, Protocol

from s3archivefs.cli.descent import Descent, Top
from s3archivefs.cli.faults import Faults
from s3archivefs.cli.opened import opened
from s3archivefs.device import FileDevice
from s3archivefs.inode import FORMAT_BITS, FileKind, Stat
from s3archivefs.names import decode, encode

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from s3archivefs.cli.descent import Node
    from s3archivefs.cli.opened import Opened

__all__ = ["Side", "side_of"]

_KINDS = {bits: kind for kind, bits in FORMAT_BITS.items()}
_PIECE_BYTES = 4 << 20  # as much as an image decodes at once


class Side(Protocol):
    """One of the two trees: nodes in byte order, and what is behind them."""

    @property
    def faults(self) -> Faults:
        """The faults of this tree so far."""

    @property
    def is_image(self) -> bool:
        """Whether it is an image."""

    @property
    def has_xattrs(self) -> bool:
        """Whether anything in it may have extended attributes."""

    @property
    def top(self) -> Node[bytes]:
        """What the tree begins with."""

    @property
    def name(self) -> bytes:
        """The top as the user would name it, without a slash at the end."""

    def entries(self, node: Node[bytes], depth: int) -> Iterator[Node[bytes]]:
        """Yield the entries of a directory, itself `depth` below the top."""

    def target(self, node: Node[bytes]) -> bytes:
        """Return the target of a symlink."""

    def xattrs(self, node: Node[bytes]) -> dict[bytes, bytes]:
        """Return the extended attributes."""

    def pieces(self, node: Node[bytes]) -> Generator[bytes, None, None]:
        """Yield the content of a regular file, in pieces of 4 MiB and a rest."""


@contextmanager
def side_of(location: str, offset: int) -> Iterator[Side]:
    """Open an image or a directory, or what lies below a path of either."""
    if "://" not in location and os.path.isdir(location):  # noqa: PTH112 -- no pathlib
        yield _LocalSide(location)
        return
    options = Namespace(image=location, offset=offset, paths=[], default_path="/")
    with opened(options) as found:
        yield _ImageSide(found)


class _ImageSide:
    is_image = True

    def __init__(self, found: Opened) -> None:
        self._image = found.image
        (path,) = found.paths
        self.name = encode(found.name) + path.rstrip(b"/")
        self.faults = Faults(decode(self.name))
        self.top = Top(found.image, path, follow_symlinks=True)  # as diff(1) does, and on disk
        self._descent = Descent(found.image)
        self.has_xattrs = found.image.has_xattrs

    def entries(self, node: Node[bytes], depth: int) -> Iterator[Node[bytes]]:
        return self._descent.entries(node, depth)

    def target(self, node: Node[bytes]) -> bytes:
        return self._image.target_of_node(node.reference)

    def xattrs(self, node: Node[bytes]) -> dict[bytes, bytes]:
        return self._image.xattr_pairs_of_node(node.reference)

    def pieces(self, node: Node[bytes]) -> Generator[bytes, None, None]:
        content = self._image.open_node(node.reference)
        with closing(content):
            content.will_read(0, content.size)
            for at in range(0, content.size, _PIECE_BYTES):
                yield content.part(at, min(at + _PIECE_BYTES, content.size))


class _LocalSide:
    is_image = False
    has_xattrs = True

    def __init__(self, location: str) -> None:
        self.faults = Faults(location)
        self.name = os.fsencode(location).rstrip(b"/")
        self.top = _LocalNode(self.name + b"/")  # the directory, where a symlink leads to it

    def entries(self, node: Node[bytes], depth: int) -> Iterator[Node[bytes]]:  # noqa: ARG002 -- as an image
        return node.scandir()

    def target(self, node: Node[bytes]) -> bytes:
        return os.readlink(node.path)  # noqa: PTH115 -- bytes

    def xattrs(self, node: Node[bytes]) -> dict[bytes, bytes]:
        if sys.platform != "linux":  # whose calls Python has alone
            return {}
        try:
            names = os.listxattr(node.path, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            return {}  # the file system has none
        return {encode(name): os.getxattr(node.path, name, follow_symlinks=False) for name in names}

    def pieces(self, node: Node[bytes]) -> Generator[bytes, None, None]:
        with closing(FileDevice(node.path)) as file:
            for at in range(0, file.size, _PIECE_BYTES):
                yield file.pread(at, min(_PIECE_BYTES, file.size - at))


class _LocalNode:
    """A path of the machine, as it is itself."""

    def __init__(self, path: bytes) -> None:
        found = os.lstat(path)
        self.path = path
        self.name = os.path.basename(path)  # noqa: PTH119 -- bytes
        self.kind = _KINDS[S_IFMT(found.st_mode)]
        self.reference = found.st_ino
        has_size = self.kind in {FileKind.FILE, FileKind.SYMLINK}
        self._stat = Stat(
            found.st_mode,
            found.st_uid,
            found.st_gid,
            found.st_mtime_ns // 10**9,
            found.st_size if has_size else 0,
            found.st_nlink,
            found.st_ino,
            self.kind,
            getattr(found, "st_rdev", 0),  # Windows has none
            found.st_ino,
        )

    def stat(self, *, follow_symlinks: bool) -> Stat:  # noqa: ARG002 -- as DirEntry.stat
        return self._stat

    def scandir(self) -> Iterator[Node[bytes]]:
        prefix = self.path if self.path.endswith(b"/") else self.path + b"/"
        for name in sorted(os.listdir(self.path)):  # noqa: PTH208 -- bytes
            yield _LocalNode(prefix + name)
