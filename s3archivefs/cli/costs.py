"""What a command cost: requests to a store, and bytes from it (`--verbose`).

Packages whose devices cost something say so through the entry-point group `s3archivefs.costs`. Each
entry names a context manager that counts while it is entered, and yields a function that returns
the figures so far, by name.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from s3archivefs.cli.faults import complain

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["costs_reported"]


@contextmanager
def costs_reported() -> Iterator[None]:
    """Count meanwhile; write the figures to standard error at the end, also of a failure."""
    with ExitStack() as counting:
        figures = [
            counting.enter_context(entry.load()())
            for entry in entry_points(group="s3archivefs.costs")
        ]
        try:
            yield
        finally:
            counted = [f"{value:,} {name}" for each in figures for name, value in each().items()]
            if counted:
                complain(", ".join(counted))
