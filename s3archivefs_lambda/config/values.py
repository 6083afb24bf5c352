"""What the text of a setting may be: each parser takes it, or says in a SettingError what would be
right.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from s3archivefs_lambda.config.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "COUNT_MAX",
    "IN_MEMORY_MAX",
    "chunk_size",
    "directory",
    "floor_to_power_of_two",
    "metrics",
    "seconds",
    "superblock_metadata",
    "whole_number",
]

IN_MEMORY_MAX = 1 << 30
"""Bytes: a chunk and an archive's tail are held in memory whole."""
COUNT_MAX = 10**15
"""An upper bound for counts and byte sizes that no machine reaches."""


def floor_to_power_of_two(number: int) -> int:
    """The largest power of two that is no more than the number; 0 of 0."""
    return 1 << number.bit_length() - 1 if number else 0


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """A parser of numbers within these bounds; it raises SettingError."""

    def parse(text: str) -> int:
        # int() alone would also take signs, underscores, white space and other scripts' digits.
        if re.fullmatch(r"[0-9]{1,18}", text) and minimum <= int(text) <= maximum:
            return int(text)
        raise SettingError(f"write a whole number from {minimum} to {maximum}, digits only")

    return parse


def chunk_size(text: str) -> int | None:
    """Bytes, floored to a power of two; None of 0."""
    return floor_to_power_of_two(whole_number(0, IN_MEMORY_MAX)(text)) or None


def seconds(text: str) -> float:
    """A time that is not negative."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    raise SettingError("write seconds as digits, with a decimal point if need be")


def directory(text: str) -> Path:
    """A directory, which need not be there."""
    return Path(text).absolute()


def superblock_metadata(text: str) -> Literal["auto", "expected"]:
    """What is known of the archives' user metadata."""
    match text:
        case "auto" | "expected":
            return text
        case _:
            raise SettingError('write "auto" or "expected"')


def metrics(text: str) -> Literal["emf"]:
    """The form in which the log carries metrics."""
    if text == "emf":
        return "emf"
    raise SettingError('write "emf", or nothing for none')
