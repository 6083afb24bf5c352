"""A recording of a terminal, as SVG: what the commands of the README write there.

    python -m tests.support.documents.recording docs/recording.svg

The commands are run, in a pseudo-terminal and over files that are always the same. Nothing of the
machine stands in the picture: neither its time nor its ports.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from tests.support.processes.terminal import Terminal

__all__ = ["record", "words"]

COLUMNS = 88
PORT = 9000
NEW_YEAR = 1_767_225_600
"""2026, in seconds since the epoch."""
PROMPT = "\x1b[1;32m$\x1b[0m "
COMMANDS = (
    "s3archivefs pack notes notes.sqfs",
    "s3archivefs tree -L 2 notes.sqfs",
    "s3archivefs cat notes.sqfs /2026/02/04.txt",
    "s3archivefs serve --map notes=notes.sqfs &",
    f"export AWS_ENDPOINT_URL=http://127.0.0.1:{PORT}",
    "aws --no-sign-request s3 ls s3://archive/notes/2026/02/",
    "aws --no-sign-request s3 cp s3://archive/notes/2026/02/04.txt -",
)
SECONDS = 60


def record() -> str:
    """Run the commands and return what a terminal shows, as SVG."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with TemporaryDirectory(prefix="s3archivefs-") as directory:
        _write_notes(Path(directory) / "notes")
        console.print(Text.from_ansi(_session(Path(directory))), highlight=False)
    svg = console.export_svg(title="s3archivefs", unique_id="recording")
    return re.sub(r"\s*@font-face \{[^}]*\}", "", svg)  # which lie elsewhere: any font will do


def words(svg: str) -> list[str]:
    """Return the words that a picture shows."""
    return re.sub(r"<style>.*?</style>|<[^>]+>", " ", svg, flags=re.DOTALL).split()


def _write_notes(notes: Path) -> None:
    for month in range(1, 5):
        folder = notes / "2026" / f"{month:02}"
        folder.mkdir(parents=True)
        for day in range(1, 8):
            text = f"Day {day} of month {month}: nothing to report.\n"
            (folder / f"{day:02}.txt").write_text(text, encoding="utf-8")
    for path in [*notes.rglob("*"), notes]:
        os.utime(path, (NEW_YEAR, NEW_YEAR))


def _session(directory: Path) -> str:
    """Run all commands in a shell of their own, and return prompts and output."""
    port = _free_port()
    program = Path(sys.executable)
    path = [str(program.parent), *os.environ["PATH"].split(os.pathsep)]
    environ = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "COLUMNS": str(COLUMNS),
        "HOME": str(directory),
        "LANG": "C.UTF-8",
        "PATH": os.pathsep.join(path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "TERM": "xterm-256color",
        "TZ": "UTC",
    }
    bash = shutil.which("bash")
    assert bash is not None
    shown = []
    server = None
    try:
        for command in COMMANDS:
            shown.append(f"{PROMPT}{command}\n")
            text = command.replace(f":{PORT}", f":{port}")
            if command.endswith("&"):
                server = subprocess.Popen(
                    [*text.split()[:-1], "--port", str(port)],
                    cwd=directory,
                    env=environ,
                    executable=shutil.which("s3archivefs", path=environ["PATH"]),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                assert server.stdout is not None
                output = server.stdout.readline()
            else:
                with Terminal() as terminal:
                    subprocess.run(
                        [bash, "-c", text],
                        cwd=directory,
                        env=environ,
                        stdin=subprocess.DEVNULL,
                        stdout=terminal.file,
                        stderr=subprocess.PIPE,  # progress, whose speed is the machine's
                        check=True,
                        timeout=SECONDS,
                    )
                output = terminal.text
            shown.append(output.replace("\r\n", "\n").replace(f":{port}", f":{PORT}"))
    finally:
        if server is not None:
            server.terminate()
            server.communicate(timeout=SECONDS)
    return "".join(shown)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(record(), encoding="utf-8")
