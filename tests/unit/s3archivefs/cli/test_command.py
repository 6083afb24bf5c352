from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs.cli import main
from tests.support.commands import PRINTING, arguments_of
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def test_offset_opens_an_embedded_image(capsys: pytest.CaptureFixture[str]) -> None:
    embedded = FIXTURES["embedded"]
    assert main(["info", str(embedded.image), "--offset", str(embedded.offset)]) == 0
    assert "squashfs 4.0 image" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ls", "nowhere.sqfs"], 3, "nowhere.sqfs: No such file or directory"),
        (["ls", __file__], 4, f"{__file__}: not a squashfs image"),
        (["ls", os.curdir], 4, ".: a directory, not a squashfs image"),
        (["diff", image("gzip"), ""], 2, "the name of the IMAGE is empty: give a path or a URL"),
        (["ls", ""], 2, "the name of the IMAGE is empty: give a path or a URL"),
        (["cat", image("gzip"), ""], 2, "a PATH is empty: / is the root of the image"),
        (["ls", image("gzip"), "/docs", ""], 2, "a PATH is empty: / is the root of the image"),
        (["ls", "/proc/self/mem"], 1, "/proc/self/mem: "),
        (["cat", image("gzip")], 2, f"which file? give a PATH after {image('gzip')}"),
        (["cat", image("gzip"), "/nowhere"], 3, "/nowhere: No such file or directory"),
        (["cat", image("gzip"), "/"], 1, "/: Is a directory"),
        (["ls", "gopher://host/image"], 1, "no installed package opens gopher://host/image"),
    ],
)
def test_fault_is_one_line_and_has_its_exit_code(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == code
    written = capsys.readouterr()
    assert written.err.startswith("s3archivefs: ")
    assert said in written.err
    assert written.err.count("\n") == 1
    assert written.out == ""


@pytest.mark.parametrize("name", ["o", "a", "image", "file"])
def test_a_name_that_is_a_part_of_the_message_is_told_all_the_same(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["ls", name]) == 3
    assert capsys.readouterr().err == f"s3archivefs: {name}: No such file or directory\n"
    (tmp_path / name).write_bytes(b"no squashfs")
    assert main(["ls", name]) == 4
    assert capsys.readouterr().err.startswith(f"s3archivefs: {name}: not a squashfs image")
    assert main(["pack", str(tmp_path), name]) == 1
    said = f"s3archivefs: {name}: exists; --force replaces it\n"
    assert capsys.readouterr().err == said


def test_what_cannot_be_made_is_told_by_its_own_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "nowhere" / "image.sqfs"
    assert main(["pack", str(tmp_path), str(image)]) == 3
    assert capsys.readouterr().err == f"s3archivefs: {image}: No such file or directory\n"


def test_a_pipe_is_no_image_and_the_advice_is_for_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for command in (["ls"], ["mount", "-f"]):
        assert main([*command, str(pipe), *([] if command == ["ls"] else [str(tmp_path)])]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"s3archivefs: {pipe}: not seekable, like a pipe, ")
        assert said.endswith(": copy it to a file\n")


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
    assert process.returncode == 141
    assert errors == b""


def test_pipe_that_breaks_at_the_last_moment_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    errors = io.StringIO()
    output = Broken()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", errors)
    assert main(["ls", image("gzip")]) == 141
    assert output.closed  # so that the interpreter has nothing to write at its end either
    assert errors.getvalue() == ""


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
    assert "compression  zstd" in capsys.readouterr().out


@pytest.mark.usefixtures("plug_in")
@pytest.mark.parametrize("command", PRINTING)
def test_every_command_reads_any_device(
    command: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = []
    for source in (image("zstd"), f"memory://{image('zstd')}"):
        code = main(arguments_of(command, source, "/docs/guide.txt"))
        written = capfdbinary.readouterr()
        found.append((code, *(each.replace(source.encode(), b"IMAGE") for each in written)))
    assert found[0] == found[1]
    assert found[0][0] == 0


@pytest.mark.usefixtures("plug_in")
def test_own_commands_load_no_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", image("zstd")]) == 0
    assert "plug" not in sys.modules
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "plug" in sys.modules
    assert "list directories of an image" in capsys.readouterr().out


def test_the_version_is_the_library_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"s3archivefs {s3archivefs.__version__}\n"
