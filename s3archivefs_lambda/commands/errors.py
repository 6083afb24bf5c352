"""What the subcommands say when the operator must change something first."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UsageError", "made_client", "require"]

T = TypeVar("T")


class UsageError(Exception):
    """Something that the operator must change; the message says what, a line for each fault."""

    def report(self) -> int:
        """Write the message to standard error; the exit status is the one of wrong usage."""
        for line in str(self).splitlines():
            sys.stderr.write(f"s3archivefs: {line}\n")
        return 2


def require(module: str, *, extra: str, what: str) -> None:
    """Raise UsageError where `module` is not installed: `what` needs it, and `extra` brings it."""
    if importlib.util.find_spec(module) is None:
        raise UsageError(f"{what} needs {module}: pip install 's3archivefs[{extra}]'")


def made_client(make: Callable[[], T]) -> T:
    """The client for AWS that `make` makes; raises UsageError where the settings for it are of no
    use: a profile, a region, an endpoint, ...
    """
    from botocore.exceptions import BotoCoreError

    try:
        return make()
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"the settings for AWS: {error}") from error
