"""Errors of a subcommand that the operator can correct: options, settings, missing packages."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from s3archivefs_lambda.store.errors import StoreSettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Faults", "UsageError", "made_client", "require"]

T = TypeVar("T")


class UsageError(Exception):
    """Something that the operator must change; the message has a line for each fault."""

    def report(self) -> int:
        """Write the message to standard error; return the exit status of wrong usage."""
        for line in str(self).splitlines():
            sys.stderr.write(f"s3archivefs: {line}\n")
        return 2


class Faults:
    """The faults of several checks, so that the operator learns of all at once."""

    def __init__(self) -> None:
        self._told: list[str] = []

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Keep the UsageError that the context ends with.

        What it was to make is missing then.
        """
        try:
            yield
        except UsageError as error:
            self._told.append(str(error))

    def raise_any(self) -> None:
        """Raise one UsageError with all that were kept, if there are any."""
        if self._told:
            raise UsageError("\n".join(self._told))


def require(module: str, *, extra: str, what: str) -> None:
    """Raise UsageError if `module`, which `what` needs and `extra` installs, is missing."""
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{what} needs {module}: pip install 's3archivefs[{extra}]'")


def made_client(make: Callable[[], T]) -> T:
    """Return the AWS client that `make` returns.

    Raises UsageError for unusable AWS settings.
    """
    try:
        return make()
    except StoreSettingsError as error:
        raise UsageError(str(error)) from error
