"""Real trees on disk, and the real tools that pack them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from random import Random
from typing import TYPE_CHECKING, Literal

from fixtures.tree import EPOCH, Node, directory, fifo, file, hard_link, symlink

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_DEBIAN_PACKAGES = {"mksquashfs": "squashfs-tools", "gensquashfs": "squashfs-tools-ng"}
_PAGE = 4096
# Sixteen letters for all bytes: content that compresses to about half.
_LETTERS = bytes(b"etaoinshrdlu  \n."[byte % 16] for byte in range(256))


class PackError(RuntimeError):
    """The tool is missing or failed; the message says which and why."""


def standard_library_tree(target: Path, *, leave_out: Sequence[str] = ()) -> Path:
    """A copy of the running Python's standard library at `target`: some thousand files.

    A copy, because whatever runs meanwhile may write bytecode beside the original. Left out are
    site-packages and dist-packages (not the standard library) and __pycache__ (changes); the tests
    that come with Python stay where it has them. Times and modes are kept; symlinks, which may lead
    to the system's configuration, become what they lead to. `leave_out` are further names.
    """
    left_out = shutil.ignore_patterns("site-packages", "dist-packages", "__pycache__", *leave_out)
    library = sysconfig.get_path("stdlib")
    return shutil.copytree(library, target, ignore=left_out, ignore_dangling_symlinks=True)


def sample_tree(block_size: int = 131072) -> tuple[Node, ...]:
    """All that an image can hold and a user can make, for an image of `block_size` bytes."""
    return (*odd_names(), *around_blocks(block_size), *sparse(block_size), *links(), *empties())


def odd_names() -> tuple[Node, ...]:
    """Files whose names need care in URLs, XML, sorting and encodings; some are not UTF-8."""
    names = [
        *("a b", " ", "trailing ", "a+b", "100%", "a%2Fb", "a&b<c>", "semi;colon", "quo\"t'e"),
        *("question?", "hash#", "back\\slash", "tilde~", "(1)*!", "new\nline", "tab\t", "=:@$,"),
        *("ü", "u\u0308", "日本語", "😀", "\x01control", "\x7f"),
        *("-dash", ".hidden", "...", "a-b", "a.b", "a/in a", "a0", "n" * 255),
        # latin-1; a lone continuation byte; an encoded surrogate; a code point beyond the last
        *map(os.fsdecode, (b"caf\xe9", b"\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xff")),
    ]
    return tuple(_file(f"odd names/{name}", 64) for name in names)


def around_blocks(block_size: int) -> tuple[Node, ...]:
    """Files whose sizes lie on, just under and just over multiples of the block size."""
    sizes = {1, block_size // 2, 5 * block_size}
    sizes |= {count * block_size + by for count in (1, 2, 3) for by in (-1, 0, 1)}
    return tuple(_file(f"blocks/{size}", size) for size in sorted(sizes))


def sparse(block_size: int) -> tuple[Node, ...]:
    """Files with holes before, between and after their data, and one that is a hole."""
    hole, data = bytes(4 * block_size), _content("sparse", block_size + 1)
    layouts = {
        "before": hole + data,
        "between": data + hole + data,
        "after": data + hole,
        "hole": hole,
        "hole and a byte": hole + b"\0",
    }
    return tuple(file(f"sparse/{name}", content) for name, content in layouts.items())


def links() -> tuple[Node, ...]:
    """Symlinks of all kinds and a file with three names."""
    targets = {
        "to a file": "target",
        "to a directory": "inner",
        "through a directory": "to a directory/leaf",
        "up": "../links/target",
        "absolute": "/links/target",
        "out of the image": "../../../../etc/passwd",
        "dangling": "nowhere",
        "to itself": "to itself",
        "round one": "round two",
        "round two": "round one",
        "long": "/".join(["inner/.."] * 100) + "/target",
    }
    return (
        _file("links/target", 100),
        _file("links/inner/leaf", 100),
        *(symlink(f"links/{name}", target) for name, target in targets.items()),
        hard_link("links/second name", "links/target"),
        hard_link("links/inner/third name", "links/target"),
    )


def empties() -> tuple[Node, ...]:
    """Files and directories without content, and a pipe, which is no object."""
    return (
        file("empties/file"),
        directory("empties/directory"),
        directory("empties/nest/nested", mode=0o700),
        fifo("empties/pipe"),
    )


def write_tree(nodes: Iterable[Node], target: Path) -> Path:
    """Write `nodes` below `target`, the same each time but for owners, which need privileges.

    Directories that are not named are made. Runs of zeros become holes. ValueError for what only
    root can make.
    """
    written = list(nodes)
    for node in written:
        path = target / node.path
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(node, path, target)
    # Last, since what is written into a directory changes its time.
    times = {node.path: node.mtime for node in written if node.kind != "hard_link"}
    for path in (target, *target.rglob("*")):
        mtime = times.get(str(path.relative_to(target)), EPOCH)
        os.utime(path, (mtime, mtime), follow_symlinks=False)
    return target


def _write(node: Node, path: Path, target: Path) -> None:
    match node.kind:
        case "symlink":
            path.symlink_to(node.target)
            return
        case "hard_link":
            os.link(target / node.link_to, path, follow_symlinks=False)
            return
        case "directory":
            path.mkdir(exist_ok=True)
        case "fifo":
            os.mkfifo(path)
        case "file":
            with path.open("wb") as opened:
                for start in range(0, len(node.content), _PAGE):
                    page = node.content[start : start + _PAGE]
                    if page.strip(b"\0"):
                        opened.seek(start)
                        opened.write(page)
                opened.truncate(len(node.content))
        case _:
            raise ValueError(f"{node.path}: a {node.kind} cannot be made without privileges")
    path.chmod(node.mode)


def _file(path: str, size: int) -> Node:
    return file(path, _content(path, size))


def _content(seed: str, size: int) -> bytes:
    """`size` bytes that depend on nothing but `seed`."""
    return Random(os.fsencode(seed)).randbytes(size).translate(_LETTERS)


def pack(
    tree: Path,
    image: Path,
    *,
    compressor: str = "gzip",
    block_size: int = 131072,
    tool: Literal["mksquashfs", "gensquashfs"] = "mksquashfs",
    extra: Sequence[str] = (),
    progress: bool = False,
) -> Path:
    """Pack `tree` with the real tool, replacing `image`; returns that. `extra` are its options.

    With `progress`, mksquashfs shows its progress bar on standard output.

    Raises PackError.
    """
    executable = shutil.which(tool)
    if executable is None:
        raise PackError(f"{tool} is not installed: run `apt-get install {_DEBIAN_PACKAGES[tool]}`")
    if tool == "mksquashfs":
        options = ["-comp", compressor, "-b", str(block_size)]
        silent = ["-quiet"] if progress else ["-quiet", "-no-progress"]
        command = [str(tree), str(image), "-noappend", *silent, *options, *extra]
    else:
        options = ["-c", compressor, "-b", str(block_size), "--keep-time"]
        # What is kept of all else is not kept of the root, which takes the defaults.
        root = tree.stat()
        options += ["-d", f"mtime={int(root.st_mtime)},uid={root.st_uid},gid={root.st_gid}"]
        command = ["-D", str(tree), "--force", "--quiet", *options, *extra, str(image)]
    packed = subprocess.run(
        [executable, *command],
        stdin=subprocess.DEVNULL,
        stdout=None if progress else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    if packed.returncode:
        said = (packed.stderr or packed.stdout).strip()[-2000:]
        raise PackError(f"{tool} of {tree} failed with status {packed.returncode}: {said}")
    return image
