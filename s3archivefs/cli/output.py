"""What the command writes: names as a terminal can show them, and lines of JSON."""

from __future__ import annotations

import sys
from binascii import b2a_base64
from codecs import lookup
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from s3archivefs.printed import all_printed, printed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TextIO

__all__ = [
    "counted",
    "human_size",
    "in_columns",
    "json_line",
    "named",
    "shown",
    "write_json",
    "write_lines",
    "write_names",
]

_LINES_AT_ONCE = 256


def shown(name: str | bytes, stream: TextIO | None = None) -> str:
    """Return a name or path as the stream, by default standard output, can show it."""
    stream = stream or sys.stdout
    return printed(name, stream.encoding or "utf-8")  # a stream in memory has none


def write_names(names: Iterable[str]) -> None:
    """Write names or paths, each on a line, as soon as `write_lines` does."""
    encoding = sys.stdout.encoding or "utf-8"
    for together in _batches(names):
        sys.stdout.write("\n".join((*all_printed(together, encoding), "")))


def write_lines(lines: Iterable[str]) -> None:
    """Write whole lines: many at once, but to a terminal each as it comes."""
    for together in _batches(lines):
        sys.stdout.write("".join(together))


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield lines together, also those before a fault."""
    lines = iter(lines)
    most = 1 if sys.stdout.isatty() else _LINES_AT_ONCE
    together: list[str] = []
    while True:
        try:
            together.extend(islice(lines, most))
        except Exception:
            yield together
            raise
        if not together:
            return
        yield together
        together.clear()


def counted(number: int, one: str, many: str) -> str:
    """Return a number and what it counts, as `1 file` and `1,200 files`."""
    return f"{number:,} {one if number == 1 else many}"


def human_size(size: int) -> str:
    """Return a number of bytes in at most five characters, rounded up: `812`, `1.2K`, `38M`."""
    if size < 1024:
        return str(size)
    for power, unit in enumerate("KMGTPE", start=1):
        scaled = -(-size * 10 // 1024**power)  # tenths
        if scaled < 100:
            return f"{scaled // 10}.{scaled % 10}{unit}"
        if (whole := -(-size // 1024**power)) < 1024 or unit == "E":
            return f"{whole}{unit}"
    raise AssertionError("unreachable")  # pragma: no cover -- the last unit returns


def named(key: str, name: bytes) -> dict[str, str]:
    """Return a name under its key of JSON.

    One that is not UTF-8 has U+FFFD there for the bytes that are not, and is whole in `key_b64`.
    """
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        encoded = b2a_base64(name, newline=False).decode("ascii")
        return {key: name.decode("utf-8", "replace"), f"{key}_b64": encoded}


def json_line(item: Mapping[str, object]) -> str:
    """Return one object as a line of JSON for standard output."""
    return _encoder(sys.stdout.encoding or "utf-8")(item) + "\n"


def write_json(item: Mapping[str, object]) -> None:
    """Write one object on a line of its own."""
    sys.stdout.write(json_line(item))


@cache
def _encoder(encoding: str) -> Callable[[object], str]:
    """Return what writes JSON: in ASCII where the encoding is not UTF-8, as JSON is."""
    from json import JSONEncoder  # noqa: PLC0415 -- 2 ms, for --json alone

    is_utf8 = lookup(encoding).name == "utf-8"
    return JSONEncoder(ensure_ascii=not is_utf8, separators=(",", ":")).encode


def in_columns(names: list[str], width: int, painted: list[str] | None = None) -> list[str]:
    """Return names in columns, down and then across, as ls(1) fills a terminal.

    `painted` are the names with the escapes of their colours, which take no place.
    """
    painted = painted or names
    sizes = [_cells(name) for name in names]
    if not names:
        return []
    for rows in range(1, len(names) + 1):
        columns = [max(sizes[at : at + rows]) + 2 for at in range(0, len(names), rows)]
        if sum(columns) - 2 <= width or rows == len(names):
            break
    lines = []
    for row in range(rows):
        *padded, last = range(row, len(names), rows)
        before = (painted[at] + " " * (columns[at // rows] - sizes[at]) for at in padded)
        lines.append("".join((*before, painted[last])))
    return lines


def _cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width  # noqa: PLC0415 -- a megabyte, for few names

    def cells(character: str) -> int:
        # Korean vowels and last consonants join the consonant before them, as marks do a letter.
        if category(character) in {"Mn", "Me"} or "\u1160" <= character <= "\u11ff":
            return 0
        return 2 if east_asian_width(character) in "FW" else 1

    return sum(map(cells, text))
