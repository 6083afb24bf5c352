"""A shell on a terminal, in which a command is typed that reports the arguments it gets."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

__all__ = ["InteractiveShell"]

PATIENCE = 60
"""Seconds that a shell may take for anything."""
PROMPT = "ready> "
LINES, COLUMNS = 60, 200
PROGRAM = """\
#!/bin/sh
if [ "$1" = completion ] && [ $# -gt 2 ]; then
  echo "$*" >>{reports}/asked; exec {program} "$@"
fi
for argument; do printf '%s\\0' "$argument"; done >{reports}/new && mv {reports}/new {reports}/got
"""
"""What runs in place of the command: it asks that for completions, and reports all else."""
STARTS = {
    "bash": (
        "PS1='{prompt}'; bind 'set enable-bracketed-paste off'; source {script}; source {script}",
        ["bash", "--noprofile", "--rcfile", "{start}", "-i"],
    ),
    "zsh": (
        "PS1='{prompt}'; autoload -Uz compinit; compinit -u -D; repeat 2 eval \"$(<{script})\"",
        ["zsh", "-i"],
    ),
    "fish": (
        "function fish_prompt; echo '{prompt}'; end; source {script}; source {script}",
        ["fish", "--no-config", "-i", "-C", "source {start}"],
    ),
    "tcsh": ("set prompt='{prompt}' autolist; source {script}; source {script}", ["tcsh", "-i"]),
}
"""By shell what it runs at its start, the script twice, and its command."""


class InteractiveShell:
    """A shell with a script that completes `command`, at work in a folder.

    `home` is an empty directory for what it reads and reports, `program` what runs the command.
    """

    def __init__(
        self, shell: str, script: Path, *, command: str, program: str, folder: Path, home: Path
    ) -> None:
        self.name = shell
        self.home = home
        self.folder = folder
        text, arguments = STARTS[shell]
        start = home / (".zshrc" if shell == "zsh" else ".tcshrc")
        start.write_text(text.format(prompt=PROMPT, script=script) + "\n")
        stand_in = home / "bin" / command
        stand_in.parent.mkdir()
        stand_in.write_text(PROGRAM.format(reports=home, program=program))
        stand_in.chmod(0o755)
        variables = {
            **os.environ,
            "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "ZDOTDIR": str(home),
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
        }
        self._shell, self._terminal = pty.fork()
        if self._shell == 0:
            os.chdir(folder)
            command_line = [each.format(start=start) for each in arguments]
            os.execvpe(command_line[0], command_line, variables)  # noqa: S606 -- it is one
        size = struct.pack("HHHH", LINES, COLUMNS, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)
        self._screen = b""
        self.wait_for(PROMPT.strip())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self._shell, signal.SIGKILL)
        os.close(self._terminal)
        os.waitpid(self._shell, 0)

    def type(self, keys: str) -> None:
        """Type keys, of which `\\t` completes and `\\r` runs the line."""
        self._screen = b""
        os.write(self._terminal, os.fsencode(keys))

    def arguments(self, line: str) -> list[str]:
        """Type the rest of a line, run it, and return the arguments that the command got."""
        got = self.home / "got"
        got.unlink(missing_ok=True)
        self.type(f"{line}\r")
        self._wait(got.exists)
        return [os.fsdecode(each) for each in got.read_bytes().split(b"\0")[:-1]]

    def wait_for(self, *texts: str) -> None:
        """Wait until the terminal shows the texts, since keys were typed."""
        self._wait(lambda: all(text in self.screen for text in texts))

    @property
    def screen(self) -> str:
        """What the terminal showed since keys were typed."""
        return self._screen.decode(errors="replace")

    def asked(self) -> int:
        """Return how often the command was asked for completions since this was last called."""
        asked = self.home / "asked"
        try:
            lines = asked.read_text().splitlines()
        except FileNotFoundError:
            return 0
        asked.unlink()
        return len(lines)

    def _wait(self, is_there: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_there():
            if time.monotonic() > end:
                raise AssertionError(f"the shell shows: {self.screen[-500:]!r}")
            if select.select([self._terminal], [], [], 0.02)[0]:
                self._screen += os.read(self._terminal, 1 << 16)
