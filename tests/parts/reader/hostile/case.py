"""A hostile input: an image, what it is asked, what must come of that, and what that may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import s3archivefs
from s3archivefs import CorruptImageError, Limits, SquashFS
from tests.support.images.fixtures import CountingDevice
from tests.support.images.survive import survive

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs import BlockDevice

    Ask: TypeAlias = Callable[[SquashFS], object]


def look(fs: SquashFS) -> object:
    """The root's names, all attributes, and the content of `/file`."""
    names = fs.listdir("/")
    stats = [fs.stat(name, follow_symlinks=False) for name in names]
    return names, len(stats), fs.read_bytes("/file")


def read_file(fs: SquashFS) -> object:
    """The content of `/file`."""
    return fs.read_bytes("/file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`error` is what opening or asking raises; where it is None, `answer` is what asking gives."""

    image: Callable[[], object]
    """Makes the image; in the child, so within its memory."""
    error: type[Exception] | None = CorruptImageError
    match: str | None = None
    ask: Ask = look
    answer: object = None
    reads: int = 64
    """The most reads that opening and asking may take."""
    total: int = 1 << 20
    """The most bytes that these reads may have."""
    wrap: Callable[[BlockDevice], BlockDevice] | None = None
    """What stands between the image's device and its reader."""
    limits: Limits = field(default_factory=Limits)
    whole: bool = True
    """Whether it is also asked all else, which takes too long of the largest images."""


def run(case: Case) -> object:
    """What the image answers, or raises, after it has survived all other questions too."""
    image = bytes(case.image())  # type: ignore[call-overload]  # bytes, or an Image
    device = CountingDevice(image)
    try:
        wrapped = case.wrap(device) if case.wrap else device
        with s3archivefs.open(wrapped, limits=case.limits) as fs:
            return case.ask(fs)
    finally:
        assert len(device.reads) <= case.reads, f"{len(device.reads)} reads"
        assert device.total <= case.total, f"{device.total} bytes read"
        if case.whole:
            survive(image)
