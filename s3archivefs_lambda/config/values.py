"""Parsers of the text of settings; each raises SettingError saying what would be right."""

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
"""Bytes of a chunk or of an archive's tail, at most: memory holds each whole."""
COUNT_MAX = 10**15
"""The upper bound of counts and byte sizes, which no machine reaches."""


def floor_to_power_of_two(number: int) -> int:
    """Return the largest power of two that is at most `number`; 0 for 0."""
    return 1 << number.bit_length() - 1 if number else 0


def whole_number(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `minimum` to `maximum`."""

    def parse(text: str) -> int:
        # int() alone would also take signs, underscores, white space and other scripts' digits.
        if re.fullmatch(r"[0-9]{1,18}", text) and minimum <= int(text) <= maximum:
            return int(text)
        raise SettingError(f"write a whole number from {minimum} to {maximum}, digits only")

    return parse


def chunk_size(text: str) -> int | None:
    """Parse a number of bytes, floored to a power of two; return None for 0."""
    return floor_to_power_of_two(whole_number(0, IN_MEMORY_MAX)(text)) or None


def seconds(text: str) -> float:
    """Parse a time of zero seconds or more."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    raise SettingError("write seconds as digits, with a decimal point if need be")


def directory(text: str) -> Path:
    """Parse the path of a directory, which need not exist."""
    return Path(text).absolute()


def superblock_metadata(text: str) -> Literal["auto", "expected"]:
    """Parse whether archives are expected to carry their superblock as user metadata."""
    match text:
        case "auto" | "expected":
            return text
        case _:
            raise SettingError('write "auto" or "expected"')


def metrics(text: str) -> Literal["emf"]:
    """Parse the format of metrics in the log."""
    if text == "emf":
        return "emf"
    raise SettingError('write "emf", or nothing for none')
