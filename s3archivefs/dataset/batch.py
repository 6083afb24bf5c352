"""`Batch`: indices of members to read, and of those to read along with them."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Batch", "check_workers"]


class Batch(list[int]):
    """The indices of a batch, and what later batches of the same worker ask for.

    A program that makes an ordinary list of it loses only the latter, and with it some requests.
    """

    def __init__(
        self,
        indices: Iterable[int],
        ahead: Sequence[int] = (),
        *,
        left: int = 0,
        is_first: bool = False,
        workers: int = 1,
    ) -> None:
        super().__init__(indices)
        self.ahead = ahead
        """Members that lie beside those of the batch: to be read with them, and kept."""
        self.left = left
        """How many members the worker keeps, and may yet be asked for."""
        self.is_first = is_first
        """Whether it is the worker's first of an epoch."""
        self.workers = workers
        """For how many workers the epoch is."""

    def begun_with(self, ahead: Iterable[int]) -> Batch:
        """Return the batch as the worker's first, which reads more members ahead."""
        ahead = array("I", [*sorted(ahead), *self.ahead])
        return Batch(self, ahead, left=self.left, is_first=True, workers=self.workers)


def check_workers(expected: int) -> None:
    """Raise ValueError if this is one of another number of PyTorch's workers."""
    torch = sys.modules.get("torch.utils.data")  # without it, none of its workers
    info = torch.get_worker_info() if torch else None
    if info is not None and info.num_workers != expected:
        raise ValueError(
            f"the DataLoader has {info.num_workers} workers, its BlockShuffle is for {expected}:"
            f" give that workers={info.num_workers}"
        )
