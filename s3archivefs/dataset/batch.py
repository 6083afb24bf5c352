"""`Batch`: indices of members to read, and of those to read along with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Batch"]


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
