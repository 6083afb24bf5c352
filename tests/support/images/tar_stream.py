"""A tar of millions of small files, made as fast as a packer takes it: tarfile takes 25 µs a
member, this takes 3.
"""

from __future__ import annotations

from tarfile import DIRTYPE, USTAR_FORMAT, TarInfo
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MTIME = 1_600_000_000
_BLOCK = 512


def tar_stream(
    directories: Iterable[tuple[str, Iterable[tuple[str, bytes, int]]]],
) -> Iterator[bytes]:
    """Directories, each with its files: path of at most 100 bytes, content, mtime."""
    blank = TarInfo()
    header = blank.tobuf(USTAR_FORMAT)
    modes, rest = header[100:124], header[156:]
    blank_sum = sum(modes) + sum(rest) + 8 * ord(" ")  # the checksum counts itself as spaces
    for path, files in directories:
        parent = TarInfo(path)
        parent.type, parent.mode, parent.mtime = DIRTYPE, 0o755, MTIME
        pieces = [parent.tobuf(USTAR_FORMAT)]
        for name, content, mtime in files:
            encoded = name.encode()
            sizes = b"%011o\0%011o\0" % (len(content), mtime)
            checksum = b"%06o\0 " % (blank_sum + sum(encoded) + sum(sizes))
            pieces += (encoded.ljust(100, b"\0"), modes, sizes, checksum, rest, content)
            pieces.append(bytes(-len(content) % _BLOCK))
        yield b"".join(pieces)
    yield bytes(2 * _BLOCK)
