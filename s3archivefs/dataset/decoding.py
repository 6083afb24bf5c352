"""What a program's `decode` makes of contents, and its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DecodeError", "decoded"]

Item = TypeVar("Item")


class DecodeError(ValueError):
    """A member's content that `decode` failed for; its message begins with the member's path."""


def decoded(decode: Callable[[bytes], Item], content: bytes, path: Callable[[], str]) -> Item:
    """Return what `decode` makes of the content of the member at `path`.

    Raises DecodeError where it raises.
    """
    try:
        return decode(content)
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise DecodeError(f"{printed(path())}: {what}") from error
