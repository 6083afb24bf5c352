"""What another process makes of what it is sent. It may import this module, and nothing of a
test's.
"""

from __future__ import annotations

import multiprocessing
import pickle
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from s3archivefs import BytesDevice
from s3archivefs.dataset import ArchiveDataset

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FileBytes", "in_process", "items", "lists", "reads", "shared_there"]

T = TypeVar("T")

_alive: list[object] = []


def in_process(method: str, function: Callable[..., T], *arguments: object) -> T:
    """What `function`, a module's own, returns in a process that is started by `method`."""
    with multiprocessing.get_context(method).Pool(1) as pool:
        result = pool.apply(function, arguments)
        pool.close()
        pool.join()
    return result


def reads(opened: Any) -> Any:  # noqa: ANN401 -- a file, or what has read_bytes
    """The rest of a file, or the content of `path` in an image."""
    return opened.read()


def items(dataset: Any, indices: list[int]) -> Any:  # noqa: ANN401 -- whatever is sent
    """The items of a dataset at these indices."""
    return dataset.__getitems__(indices)


def shared_there(url: str, directory: str, has_proc: bool) -> list[str]:  # noqa: FBT001 -- `apply` passes it by place
    """The files that a dataset shares its members by in a directory, alive to the very end.

    The system shows open files in /proc, or not.
    """
    tempfile.tempdir = directory
    if not has_proc:
        setattr(Path, "exists", lambda _: False)  # noqa: B010 -- in this process alone; no type allows it
    dataset = ArchiveDataset(url)
    _alive.append(dataset)
    pickle.dumps(dataset)
    return [path.name for path in Path(directory).iterdir()]


def lists(fs: Any, path: Any) -> Any:  # noqa: ANN401 -- whatever is sent
    """The names at a path that came with its image, and by its own image."""
    return fs.listdir(path), [each.name for each in path.iterdir()], path == fs.path(str(path))


class FileBytes(BytesDevice):
    """A device that is sent by the path that it was read from."""

    def __init__(self, path: str) -> None:
        super().__init__(Path(path).read_bytes())
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return FileBytes, (self._path,)
