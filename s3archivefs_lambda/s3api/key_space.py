"""Keys as S3 orders them, by their bytes: where those with a common start begin and end."""

from __future__ import annotations

__all__ = ["bound_within", "end_of", "is_below"]


def end_of(start: bytes) -> bytes | None:
    """The lowest key above all that start so, or None where there is none."""
    start = start.rstrip(b"\xff")
    return start[:-1] + bytes([start[-1] + 1]) if start else None


def is_below(start: bytes, floor: bytes) -> bool:
    """Whether every key that starts so is below `floor`."""
    return start < floor and not floor.startswith(start)


def bound_within(start: bytes, bound: bytes | None) -> bytes | None:
    """A bound of keys as one of what follows `start` in them: empty where all are above it, None
    where none is, or where there is no bound.
    """
    if bound is None:
        return None
    if bound.startswith(start):
        return bound[len(start) :]
    return None if bound > start else b""
