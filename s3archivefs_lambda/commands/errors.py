"""Errors of a subcommand that the operator can correct: options, settings, missing packages."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, TypeVar

from s3archivefs_lambda.store.errors import StoreSettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UsageError", "made_client", "require"]

T = TypeVar("T")


class UsageError(Exception):
    """Something that the operator must change; the message has a line for each fault."""

    def report(self) -> int:
        """Write the message to standard error; return the exit status of wrong usage."""
        for line in str(self).splitlines():
            sys.stderr.write(f"s3archivefs: {line}\n")
        return 2


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
