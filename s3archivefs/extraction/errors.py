"""Why a member is not extracted.

Names and meaning of what a filter raises are those of `tarfile`, since PEP 706.
"""

from __future__ import annotations

from s3archivefs.errors import SquashfsError
from s3archivefs.printed import printed

__all__ = [
    "AbsoluteLinkError",
    "AbsolutePathError",
    "ExtractionError",
    "FilterError",
    "LinkOutsideDestinationError",
    "NameCollisionError",
    "OutsideDestinationError",
    "SpecialFileError",
]


class ExtractionError(SquashfsError):
    """A member is not extracted, since that could do harm; the message says why.

    `name` is the member's path below the target.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{printed(name)}: {why}")
        self.name = name
        self.why = why

    def __reduce__(self) -> tuple[type[ExtractionError], tuple[str, str], dict[str, object]]:
        # pickle by itself would pass the message
        return type(self), (self.name, self.why), vars(self)


class FilterError(ExtractionError):
    """A filter refuses the member."""


class AbsolutePathError(FilterError):
    """The member's name is absolute."""


class OutsideDestinationError(FilterError):
    """The member would lie outside the target, as behind a symlink that stands there."""


class SpecialFileError(FilterError):
    """The member is a device, a fifo or a socket."""


class AbsoluteLinkError(FilterError):
    """The member is a symlink with an absolute target."""


class LinkOutsideDestinationError(FilterError):
    """The member is a symlink that leads out of the target."""


class NameCollisionError(ExtractionError):
    """The target takes the names of two members for the same."""
