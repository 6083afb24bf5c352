"""How filesystems are made: of a relative path, so that they mean one archive everywhere."""

from __future__ import annotations

from inspect import signature
from typing import Any

from fsspec import AbstractFileSystem

from s3archivefs.filesystem.targets import settled

__all__ = ["Settling"]

_Cached: Any = type(AbstractFileSystem)


class Settling(_Cached):  # type: ignore[misc]  # fsspec ships no types
    """The class of filesystems whose `fo` fsspec remembers as an absolute path.

    Of the arguments as they are remembered come pickles, copies, JSON and what is equal.
    """

    def __call__(cls, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401, N805 -- of any class, which is `cls`
        """Make a filesystem, or return the one that fsspec keeps."""
        names = [*signature(cls.__init__).parameters][1:]  # type: ignore[misc]  # of the very class
        given = {**dict(zip(names, arguments, strict=False)), **options}
        fo = settled(given.get("fo"), given.get("target_protocol"))
        if "fo" in options:
            options["fo"] = fo
        elif "fo" in given:
            at = names.index("fo")
            arguments = (*arguments[:at], fo, *arguments[at + 1 :])
        return super().__call__(*arguments, **options)
