"""Keys in S3's order, by their bytes: where those with a common start lie."""

from __future__ import annotations

__all__ = ["MAX_KEY_BYTES", "bound_within", "climbs_out", "end_of", "is_below"]

MAX_KEY_BYTES = 1024
"""Bytes of an object's key, at most: S3's limit. Archives may have members with longer ones."""


def climbs_out(path: str) -> bool:
    """Return whether dot segments lead above where a path begins, for whoever resolves them.

    S3 does not, but a store or a proxy may. S3 has no key that leads above its bucket so.
    """
    depth = 0
    for segment in path.split("/") if ".." in path else ():
        depth += -1 if segment == ".." else segment not in {"", "."}
        if depth < 0:
            return True
    return False


def end_of(start: bytes) -> bytes | None:
    """Return the lowest key above all that begin with `start`, if there is one."""
    start = start.rstrip(b"\xff")
    return start[:-1] + bytes([start[-1] + 1]) if start else None


def is_below(start: bytes, floor: bytes) -> bool:
    """Return whether every key that begins with `start` is below `floor`."""
    return start < floor and not floor.startswith(start)


def bound_within(start: bytes, bound: bytes | None) -> bytes | None:
    """Return a bound of keys as a bound of what follows `start` in them.

    It is empty if all keys that begin with `start` are above the bound, and None if all are below
    it, or there is no bound.
    """
    if bound is None:
        return None
    if bound.startswith(start):
        return bound[len(start) :]
    return None if bound > start else b""
