"""Archives that are replaced while they are mounted: the new one is opened, and shown."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from s3archivefs.errors import SquashfsError
from s3archivefs.printed import printed

if TYPE_CHECKING:
    from collections.abc import Callable

    from s3archivefs.image import SquashFS
    from s3archivefs.mount.operations import Operations

__all__ = ["Follower", "Kernel"]

_LEAST_SECONDS = 1.0
"""Between two looks: whoever reads a replaced archive asks for one with each read."""
_END_SECONDS = 2.0
"""Until a look is left to itself, which may wait for a store."""


class Kernel(Protocol):
    """What keeps names and attributes; a `Session` leads to it."""

    def forget_name(self, directory: int, name: bytes) -> None:
        """Forget what a name leads to, or that it is not there."""

    def forget_node(self, node: int) -> None:
        """Forget the attributes of a file, and its content."""


class Follower:
    """Looks every `seconds`, and when told to, whether archives were replaced.

    `open_image` opens one by its source, `report` is called with a line for each change.
    """

    def __init__(
        self,
        operations: Operations,
        open_image: Callable[[str], SquashFS],
        report: Callable[[str], object],
        seconds: float,
    ) -> None:
        self._operations = operations
        self._open_image = open_image
        self._report = report
        self._seconds = seconds
        self._known = [_identity(image) for image in operations.images]
        self._failing: dict[int, type[Exception]] = {}
        """Why archives could not be looked at the last time, by their indices."""
        self._retired: list[SquashFS] = []
        """Images that were replaced, and from which a read in flight may still read."""
        self._wake = threading.Event()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, kernel: Kernel) -> None:
        """Begin; the kernel learns of each change."""
        self._thread = threading.Thread(target=self._run, args=(kernel,), daemon=True)
        self._thread.start()

    def look(self) -> None:
        """Look now, as an archive is said to be replaced."""
        self._wake.set()

    def close(self) -> None:
        """End, and close the images that it opened."""
        self._end.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)
        for image in (*self._retired, *self._operations.images):
            image.close()

    def follow(self, kernel: Kernel) -> None:
        """Look once, and show what is new."""
        while self._retired:
            self._retired.pop().close()
        for index, image in enumerate(self._operations.images):
            source = str(image.origin.source)
            try:
                self._compare(index, source, kernel)
                self._failing.pop(index, None)
            except (SquashfsError, OSError, ValueError) as error:
                # The old archive stays until there is a sound new one.
                if self._failing.get(index) is type(error):
                    continue
                self._failing[index] = type(error)
                self._report(f"{printed(source)}: {' '.join(str(error).split())}")

    def _compare(self, index: int, source: str, kernel: Kernel) -> None:
        is_current = getattr(self._operations.images[index].device, "is_current", None)
        if is_current is not None and is_current():
            return
        found = self._open_image(source)
        identity = _identity(found)
        if identity == self._known[index]:
            found.close()
            return
        self._known[index] = identity
        replaced = self._operations.replace(index, found)
        for name in replaced.names:
            kernel.forget_name(replaced.directory, name)
        kernel.forget_node(replaced.directory)
        self._retired.append(replaced.image)
        self._report(f"{printed(source)}: the archive was replaced, and the new one is shown")

    def _run(self, kernel: Kernel) -> None:
        least = min(_LEAST_SECONDS, self._seconds)
        while not self._end.wait(least):
            self._wake.wait(self._seconds - least)
            self._wake.clear()
            if not self._end.is_set():
                self.follow(kernel)


def _identity(image: SquashFS) -> tuple[object, ...]:
    """Return what tells an archive from another one of the same name."""
    origin = image.origin
    own = getattr(image.device, "identity", None)
    if own is None and isinstance(origin.source, str | bytes):
        with suppress(OSError):
            found = os.stat(origin.source)  # noqa: PTH116 -- pathlib takes 10 ms to import
            own = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
    return origin.superblock, origin.size, own
