from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from fixtures.shapes import text
from fixtures.tree import file
from s3archivefs.cli import main
from tests.support.images.fixtures import FIXTURES, make_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def test_ls_lists_names_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("gzip")]) == 0
    names = sorted(
        node.path.removeprefix("/") for node in FIXTURES["gzip"].tree if node.path.count("/") == 1
    )
    assert capsys.readouterr().out.splitlines() == [name for name in names if name]


def test_ls_long_shows_mode_owner_size_time_and_link(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "-l", image("symlinks")]) == 0
    lines = capsys.readouterr().out.splitlines()
    links = {
        node.path.removeprefix("/"): node.target
        for node in FIXTURES["symlinks"].tree
        if node.kind == "symlink" and node.path.count("/") == 1
    }
    assert links
    for name, target in links.items():
        (line,) = (line for line in lines if f" {name} -> " in line)
        assert line.startswith("l")
        assert target is not None
        assert line.endswith(f" -> {target}".replace("\udcff", "\\xff"))


def test_names_that_a_terminal_cannot_have_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("non-utf8")]) == 0
    assert capsys.readouterr().out.replace("\n", "").isprintable()


def test_cat_writes_the_content(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    command = [sys.executable, "-m", "s3archivefs.cli", "cat", image("gzip")]
    node = max(
        (node for node in FIXTURES["gzip"].tree if node.kind == "file"), key=lambda node: node.size
    )
    done = subprocess.run([*command, node.path], check=True, capture_output=True)
    assert len(done.stdout) == node.size


def test_cat_writes_files_of_several_pieces(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    content = text(9_000_000)
    large = make_image(tmp_path, (file("large", content),), "-b", "1M")
    assert main(["cat", str(large), "/large"]) == 0
    assert capsysbinary.readouterr().out == content


def test_info_names_compressor_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", image("xz")]) == 0
    assert "compression xz, blocks of 4,096 bytes" in capsys.readouterr().out


def test_offset_opens_an_embedded_image(capsys: pytest.CaptureFixture[str]) -> None:
    embedded = FIXTURES["embedded"]
    assert main(["info", str(embedded.image), "--offset", str(embedded.offset)]) == 0
    assert "squashfs 4.0 image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls", "nowhere.sqfs"], "nowhere.sqfs: No such file or directory"),
        (["ls", __file__], f"{__file__}: not a squashfs image"),
        (["ls", "/proc/self/mem"], "/proc/self/mem: "),
        (["cat", image("gzip"), "/nowhere"], "/nowhere: No such file or directory"),
        (["cat", image("gzip"), "/"], "/: Is a directory"),
        (["ls", "ftp://host/image"], "no installed package opens ftp:// URLs"),
    ],
)
def test_fault_is_one_line_and_status_1(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    written = capsys.readouterr()
    assert written.err.startswith("s3archivefs: ")
    assert said in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""


def test_fault_of_the_device_names_the_image(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", fail)
    assert main(["ls", image("gzip")]) == 1
    assert capsys.readouterr().err == f"s3archivefs: {image('gzip')}: Input/output error\n"


def test_interrupt_ends_the_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(descriptor: int, length: int, offset: int) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pread", interrupt)
    assert main(["cat", image("gzip"), "/docs/guide.txt"]) == 130
    assert capsys.readouterr().err == ""


def test_reader_that_stops_reading_ends_the_command_without_a_traceback() -> None:
    command = [sys.executable, "-m", "s3archivefs.cli", "ls", "-l", image("indexed")]
    reading, writing = os.pipe()
    os.close(reading)
    with subprocess.Popen(command, stdout=writing, stderr=subprocess.PIPE) as process:
        os.close(writing)
        _, errors = process.communicate()
    assert b"Traceback" not in errors


def test_pipe_that_breaks_at_the_last_moment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    errors = io.StringIO()
    monkeypatch.setattr(sys, "stdout", Broken())
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["ls", image("gzip")]) == 1
    assert errors.closed  # so that the interpreter has nothing to say at its end either


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """An installed distribution that adds a command and opens `memory://` URLs."""
    (tmp_path / "plug.py").write_text(
        "from s3archivefs import BytesDevice\n"
        "from pathlib import Path\n"
        "def register(commands):\n"
        "    commands.add_parser('greet').set_defaults(run=lambda options: print('hello') or 0)\n"
        "def open_url(url):\n"
        "    return BytesDevice(Path(url.removeprefix('memory://')).read_bytes())\n"
    )
    information = tmp_path / "plug-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: plug\nVersion: 1\n")
    (information / "entry_points.txt").write_text(
        "[s3archivefs.commands]\ngreet = plug:register\n"
        "[s3archivefs.devices]\nmemory = plug:open_url\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("plug", None)


@pytest.mark.usefixtures("plug_in")
def test_installed_packages_add_commands_and_url_schemes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["greet"]) == 0
    assert capsys.readouterr().out == "hello\n"
    assert main(["info", f"memory://{image('zstd')}"]) == 0
    assert "compression zstd" in capsys.readouterr().out


@pytest.mark.usefixtures("plug_in")
def test_own_commands_load_no_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("zstd")]) == 0
    assert "plug" not in sys.modules
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "plug" in sys.modules
    assert "list a directory of an image" in capsys.readouterr().out
