"""Drawn images, packed by the real tools."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fixtures.tree import Node
    from tests.support.drawn.images import DrawnImage

_SILENT = ("-noappend", "-quiet", "-no-progress", "-processors", "1")
_NG = ("-q", "-f", "-j", "1")
_TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hard_link": tarfile.LNKTYPE,
    "block_device": tarfile.BLKTYPE,
    "char_device": tarfile.CHRTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def pack_drawn(drawn: DrawnImage, image: Path) -> None:
    """Make the image at `image`, replacing what is there.

    AssertionError shows what the tool said where it failed.
    """
    image.unlink(missing_ok=True)  # gensquashfs would keep what lies behind the new end
    block_size = ("-b", str(drawn.block_size))
    compressor = (drawn.compressor.name, *drawn.compressor.arguments)
    options: tuple[str, ...] = (*_NG, *block_size, "-c", *compressor, *drawn.options)
    if drawn.writer.suite == "squashfs-tools":
        offset = ("-offset", str(drawn.offset))
        options = (*_SILENT, *block_size, *offset, "-comp", *compressor, *drawn.options)
    root = drawn.nodes[0]
    match drawn.writer.name:
        case "mksquashfs-tar":
            as_root = ["fakeroot"] if os.geteuid() else []  # whose else the root would be
            command = [*as_root, "mksquashfs", "-", str(image), "-tar"]
            mode = ("-root-mode", f"{root.mode:o}")
            _run(*command, *mode, *options, feed=_tar(drawn.nodes[1:]))
        case "tar2sqfs":
            _run("tar2sqfs", "--no-skip", *options, str(image), feed=_tar(drawn.nodes))
        case "mksquashfs-pseudo":
            _pack_definitions(drawn, image, options)
        case "gensquashfs":
            _pack_pack_file(drawn, image, options)
        case name:
            raise ValueError(f"no way to pack with {name}")


# ---- Tar streams ---------------------------------------------------------------------------------


def _tar(nodes: tuple[Node, ...]) -> bytes:
    """A GNU tar stream, the root as `./`, with attributes in PAX headers before their entries.

    PAX throughout would not do: its paths are UTF-8, the tools warn about any other.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for node in nodes:
            if node.xattrs:
                records = b"".join(
                    _pax_record(b"SCHILY.xattr." + _bytes(name), value)
                    for name, value in node.xattrs.items()
                )
                header = tarfile.TarInfo("attributes")
                header.type, header.size = tarfile.XHDTYPE, len(records)
                archive.addfile(header, io.BytesIO(records))
            info = tarfile.TarInfo(node.path or "./")
            info.type, info.linkname = _TAR_TYPES[node.kind], node.link_to or node.target
            info.mode, info.uid, info.gid = node.mode, node.uid, node.gid
            info.mtime, info.size = node.mtime, len(node.content)
            info.devmajor, info.devminor = node.rdev or (0, 0)
            archive.addfile(info, io.BytesIO(node.content))
    return buffer.getvalue()


def _pax_record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    digits = len(str(len(rest)))
    digits = len(str(len(rest) + digits))
    return b"%d" % (len(rest) + digits) + rest


# ---- Files that describe a tree ------------------------------------------------------------------


def _pack_definitions(drawn: DrawnImage, image: Path, options: tuple[str, ...]) -> None:
    """mksquashfs on an empty directory, all else from pseudo-file definitions."""
    root, *nodes = drawn.nodes
    with tempfile.TemporaryDirectory() as name:
        lines = []
        for number, node in enumerate(nodes):
            stored = _store(Path(name, f"content-{number}"), node)
            lines.append(_definition(node, stored))
        definitions, empty = Path(name, "definitions"), Path(name, "empty")
        definitions.write_bytes(b"".join(lines))
        empty.mkdir()
        _run(
            *("mksquashfs", str(empty), str(image), *options, "-pf", str(definitions)),
            *("-root-mode", f"{root.mode:o}", "-root-time", str(root.mtime)),
            *("-root-uid", str(root.uid), "-root-gid", str(root.gid)),
        )


def _definition(node: Node, stored: str) -> bytes:
    if node.kind == "hard_link":
        return _quoted(node.path) + b" L " + _quoted(node.link_to) + b"\n"
    letter, rest = {
        "file": ("F", f"cat {stored}".encode()),
        "directory": ("D", b""),
        "symlink": ("S", _bytes(node.target)),
        "block_device": ("B", _device(node)),
        "char_device": ("C", _device(node)),
        "fifo": ("I", b"f"),
        "socket": ("I", b"s"),
    }[node.kind]
    fields = f" {letter} {node.mtime} {node.mode:o} {node.uid} {node.gid} ".encode()
    return _quoted(node.path) + fields + rest + b"\n"


def _pack_pack_file(drawn: DrawnImage, image: Path, options: tuple[str, ...]) -> None:
    """gensquashfs from a pack file."""
    with tempfile.TemporaryDirectory() as name:
        lines = []
        for number, node in enumerate(drawn.nodes):
            _store(Path(name, f"content-{number}"), node)
            lines.append(_pack_line(node, f"content-{number}"))
        pack_file = Path(name, "pack")
        pack_file.write_bytes(b"".join(lines))
        time = ("-d", f"mtime={drawn.nodes[0].mtime}")
        _run("gensquashfs", *options, *time, "-D", name, "-F", str(pack_file), str(image))


def _pack_line(node: Node, stored: str) -> bytes:
    word, rest = {
        "file": ("file", stored.encode()),
        "directory": ("dir", b""),
        "symlink": ("slink", _bytes(node.target)),
        "hard_link": ("link", b"/" + _bytes(node.link_to)),
        "block_device": ("nod", b"b " + _device(node)),
        "char_device": ("nod", b"c " + _device(node)),
        "fifo": ("pipe", b""),
        "socket": ("sock", b""),
    }[node.kind]
    fields = f" 0{node.mode:o} {node.uid} {node.gid} ".encode()
    return word.encode() + b" " + _quoted("/" + node.path) + fields + rest + b"\n"


def _store(path: Path, node: Node) -> str:
    if node.kind == "file":
        path.write_bytes(node.content)
    return str(path)


def _device(node: Node) -> bytes:
    return b"%d %d" % node.rdev if node.rdev else b""


def _quoted(path: str) -> bytes:
    return b'"' + _bytes(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _run(*command: str, feed: bytes = b"") -> None:
    """Run a tool without the caller's environment, which could clamp times."""
    environ = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ["PATH"]}
    for _ in range(3):
        result = subprocess.run(command, input=feed, capture_output=True, check=False, env=environ)
        # mksquashfs 4.5.1 does once in thousands of runs, on a busy machine, and not the next time.
        if result.returncode != -signal.SIGSEGV:
            break
    said = (result.stderr or result.stdout).decode(errors="replace")
    assert result.returncode == 0, f"{' '.join(command)}: status {result.returncode}: {said}"
