"""Files of the image as text, and the modes that `open` accepts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, SupportsIndex

from s3archivefs.file import check_limit

if TYPE_CHECKING:
    from s3archivefs.file import Image, SquashFile

__all__ = ["as_text", "is_text"]


def is_text(mode: str, buffering: int, **text_options: str | None) -> bool:
    """Return whether these arguments of `open` open a file as text.

    Raises ValueError for an unknown mode and for an option that does not go with bytes or text, and
    io.UnsupportedOperation, which is a ValueError, for a mode that writes.
    """
    if mode in {"rb", "br"}:
        for name, given in text_options.items():
            if given is not None:
                raise ValueError(f"a file opened for bytes takes no {name}; open it with mode 'r'")
        return False
    if mode not in {"r", "rt", "tr"}:
        kind = io.UnsupportedOperation if set(mode) & set("wxa+") else ValueError
        raise kind(f"mode is {mode!r}; an image is read only, with 'r', 'rt' or 'rb'")
    if not buffering:
        raise ValueError("text cannot be read without a buffer; leave buffering out")
    return True


def as_text(
    file: SquashFile, encoding: str | None, errors: str | None, newline: str | None
) -> io.TextIOWrapper:
    """Return the file as text: UTF-8, unless `encoding` says otherwise."""
    kind = _Text if file.size <= file.line_limit else _LongText
    return kind(file, "utf-8" if encoding is None else encoding, errors, newline)


class _Text(io.TextIOWrapper):
    """A text file whose `tell` works between lines, unlike that of the built-in `open`."""

    mode = "r"

    def __init__(
        self, file: SquashFile, encoding: str, errors: str | None, newline: str | None
    ) -> None:
        super().__init__(file, encoding, errors, newline)
        self._file = file
        self._newline = newline

    # This one calls `readline`; that of io.TextIOWrapper disables `tell`.
    __next__ = io.IOBase.__next__  # type: ignore[assignment]  # returns what `readline` does

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> tuple[object, ...]:
        """Open the file in another process, through its image, at its position."""
        how = (self.encoding, self.errors, self._newline)
        return _reopened, (self._file.image, self._file.name, how, self.tell())


class _LongText(_Text):
    """A text file so long that a line may exceed Limits.read_all_bytes."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # of a text file
        """Return the next line, up to its end or `size` characters.

        Raises LimitExceededError where it is longer than Limits.read_all_bytes.
        """
        if size >= 0:
            return super().readline(size)
        line = super().readline(self._file.line_limit + 1)
        check_limit(len(line), self._file.line_limit)
        return line

    def readlines(self, hint: int | None = -1, /) -> list[str]:  # type: ignore[override]  # likewise
        """Return the lines up to the end, or until they have `hint` characters.

        Raises LimitExceededError where all that is left is more than Limits.read_all_bytes.
        """
        if hint is None or hint <= 0:
            check_limit(self._file.size - self._file.tell(), self._file.line_limit)
        return super().readlines(-1 if hint is None else hint)


def _reopened(
    image: Image,
    path: str | bytes,
    how: tuple[str, str | None, str | None],
    position: int,
) -> io.TextIOWrapper:
    """Open a file of the image as text again, at its former position."""
    text = as_text(image.open(path), *how)
    text.seek(position)
    return text
