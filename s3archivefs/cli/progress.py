"""Progress on standard error: files and bytes that are done, speed, and the time left.

Packages that add subcommands may use this module too (CONTRIBUTING.md, "The two packages").
"""

from __future__ import annotations

import argparse
import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from s3archivefs.cli.output import human_size
from s3archivefs.locks import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Show: TypeAlias = Callable[["Progress"], object]

__all__ = ["Progress", "add_progress", "progress_shown"]

_BAR_SECONDS = 0.1
_LINE_SECONDS = 10.0


def add_progress(parser: argparse.ArgumentParser) -> None:
    """Add `--progress` and `--no-progress`."""
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show progress on standard error: bars on a terminal where rich is installed, which "
        "is the default, else a line every 10 seconds",
    )


class Progress:
    """What is done so far, of what there is to do. Threads may add to it."""

    def __init__(
        self,
        *,
        files: int | None = None,
        size: int | None = None,
        noun: str = "files",
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.files = 0
        self.size = 0
        """Bytes that are done."""
        self.files_total = files
        self.size_total = size
        self._noun = noun
        self._clock = clock
        self._lock = Lock()
        self._started = self._shown = clock()
        self._show: Show | None = None
        self._interval = 0.0

    def __call__(self, files: int, size: int) -> None:
        """Count files and bytes that are done now."""
        with self._lock:
            self.files += files
            self.size += size
            if self._show is None or (now := self._clock()) - self._shown < self._interval:
                return
            self._shown = now
        self._show(self)

    def to(self, show: Show, seconds: float) -> None:
        """From now on show the progress so, at most once in so many seconds."""
        self._show, self._interval = show, seconds

    @property
    def fraction(self) -> tuple[int, int | None]:
        """What is done and what there is to do, in bytes, else in files."""
        if self.size_total is None and self.files_total is not None:
            return self.files, self.files_total
        return self.size, self.size_total

    def __str__(self) -> str:
        """Return files, bytes and bytes a second, as `120 of 4,000 files, 38M, 12M/s`."""
        parts = []
        if self.files or self.files_total is not None:
            of = f" of {self.files_total:,}" if self.files_total is not None else ""
            parts.append(f"{self.files:,}{of} {self._noun}")
        of = f" of {human_size(self.size_total)}" if self.size_total is not None else ""
        parts.append(f"{human_size(self.size)}{of}")
        if (seconds := self._clock() - self._started) > 0:
            parts.append(f"{human_size(int(self.size / seconds))}/s")
        return ", ".join(parts)


@contextmanager
def progress_shown(
    wanted: bool | None,  # noqa: FBT001 -- as the option has it
    *,
    files: int | None = None,
    size: int | None = None,
    totals: Callable[[], tuple[int | None, int | None]] | None = None,
    noun: str = "files",
) -> Iterator[Progress]:
    """Show progress meanwhile; yield what counts it: call it with files and bytes.

    `wanted` is the option that `add_progress` added. `files` and `size` are what there is to do,
    where that is known; `totals` finds them out, and is called only where progress is shown. Lines
    that are written meanwhile appear above the bars.
    """
    is_terminal = sys.stderr.isatty()
    has_bars = wanted is not False and is_terminal and _rich_is_installed()
    if totals is not None and (has_bars or wanted):
        files, size = totals()
    progress = Progress(files=files, size=size, noun=noun)
    if has_bars:
        with _bars(progress):
            yield progress
    elif wanted:
        progress.to(_write_line, _LINE_SECONDS)
        yield progress
        _write_line(progress)
    else:
        yield progress


def _rich_is_installed() -> bool:
    from importlib.util import find_spec  # noqa: PLC0415 -- only on a terminal

    return find_spec("rich") is not None


def _write_line(progress: Progress) -> None:
    print(progress, file=sys.stderr)


@contextmanager
def _bars(progress: Progress) -> Iterator[None]:
    # Rich takes 100 ms to import.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    console = Console(stderr=True, soft_wrap=True)  # lines above the bars keep their length
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn(compact=True))
    with Bars(
        *columns,
        console=console,
        transient=True,
        # What is written to the same terminal meanwhile comes above the bars.
        redirect_stdout=sys.stdout.isatty(),
    ) as bars:
        task = bars.add_task(str(progress), total=progress.fraction[1])

        def show(progress: Progress) -> None:
            bars.update(task, description=str(progress), completed=progress.fraction[0])

        progress.to(show, _BAR_SECONDS)
        yield
        show(progress)
