"""What a reader's module has for each piece of work. Imports next to nothing: see `process`."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Work"]

Work = Callable[[str, int], dict[str, float]]
"""Takes an image's path and the number of its members; returns what it found."""
