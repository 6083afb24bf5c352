"""Files of the image as text, and the modes that `open` takes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, SupportsIndex

from s3archivefs.file import check_limit

if TYPE_CHECKING:
    from s3archivefs.file import Image, SquashFile

__all__ = ["as_text", "is_text"]


def is_text(mode: str, buffering: int, **text_options: str | None) -> bool:
    """Whether what is said to `open` opens a file as text.

    Raises ValueError for what `open` does not know, or bytes do not have; io.UnsupportedOperation,
    which is one, for a mode that writes.
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
    """The file as text, UTF-8 unless said."""
    kind = _Text if file.size <= file.line_limit else _LongText
    return kind(file, "utf-8" if encoding is None else encoding, errors, newline)


class _Text(io.TextIOWrapper):
    """As `open` gives it, and `tell` works among lines too."""

    mode = "r"

    def __init__(
        self, file: SquashFile, encoding: str, errors: str | None, newline: str | None
    ) -> None:
        super().__init__(file, encoding, errors, newline)
        self._file = file
        self._newline = newline

    # By `readline`; that of io.TextIOWrapper has no `tell` from then on.
    __next__ = io.IOBase.__next__  # type: ignore[assignment]  # gives what `readline` does

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> tuple[object, ...]:
        """Opened anew in another process, through its image, where it stands."""
        how = (self.encoding, self.errors, self._newline)
        return _reopened, (self._file.image, self._file.name, how, self.tell())


class _LongText(_Text):
    """Text in which a line may be longer than what may be read at once."""

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]  # of a text file
        """The next line, up to its end or `size` characters.

        Raises LimitExceededError where it is longer than Limits.read_all_bytes.
        """
        if size >= 0:
            return super().readline(size)
        line = super().readline(self._file.line_limit + 1)
        check_limit(len(line), self._file.line_limit)
        return line

    def readlines(self, hint: int | None = -1, /) -> list[str]:  # type: ignore[override]  # likewise
        """The lines up to the end, or until they have `hint` characters.

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
    """A file of the image as text, where it stood."""
    text = as_text(image.open(path), *how)
    text.seek(position)
    return text
