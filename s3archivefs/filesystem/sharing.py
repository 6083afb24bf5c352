"""The open images of a process, each shared by all filesystems over the same version."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary, finalize

from s3archivefs.image import SquashFS
from s3archivefs.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from s3archivefs.filesystem.targets import Target
    from s3archivefs.limits import Limits

__all__ = ["SharedImage", "shared_image"]


class SharedImage:
    """An open image, and the version of the archive that it is of.

    It closes when nothing refers to it any more: each filesystem does, each open file, and each
    walk.
    """

    def __init__(self, target: Target, offset: int, limits: Limits | None) -> None:
        opened = target.open()
        try:
            self.image = SquashFS(opened.source, offset=offset, limits=limits)
        except BaseException:
            opened.close()
            raise
        self._target = target
        self._version = opened.version
        self._confirmed = time.monotonic()
        finalize(self, _close, self.image, opened.close)

    @property
    def version(self) -> str:
        """The text that identifies the archive's bytes, in any process."""
        return self._version or repr(self.image.superblock)

    def is_current(self, *, asks: bool = False) -> bool:
        """Return whether the target still holds this version.

        Ask it, unless it did recently and `asks` is false.
        """
        now = time.monotonic()
        if asks or now - self._confirmed >= self._target.trusted_seconds:
            if self._target.version() != self._version:
                return False
            self._confirmed = now
        return True


_images: WeakValueDictionary[Hashable, SharedImage] = WeakValueDictionary()
_openings: SingleFlight[tuple[Hashable, bool], SharedImage] = SingleFlight()


def shared_image(
    target: Target, offset: int, limits: Limits | None, *, asks: bool = False
) -> SharedImage:
    """Return the image of a target's current version, opened if it is not.

    With `asks` the target is asked which that is, however recently it told. Raises what opening
    raises.
    """
    if target.key is None:
        return SharedImage(target, offset, limits)
    key = target.key, offset, limits

    def load() -> SharedImage:
        known = _images.get(key)
        if known is None or not known.is_current(asks=asks):
            known = _images[key] = SharedImage(target, offset, limits)
        return known

    return _openings.do((key, asks), load)


def _close(image: SquashFS, close: Callable[[], object]) -> None:
    try:
        image.close()
    finally:
        close()
