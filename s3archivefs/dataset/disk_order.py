"""The members of a dataset in the order of the disk, in runs."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from s3archivefs.dataset.members import Members

__all__ = ["runs_of"]


def runs_of(members: Members, run_bytes: int) -> tuple[array[int], array[int]]:
    """Return the members in the order of the disk, and where each run ends.

    A run ends when it has `run_bytes` of content. Members that begin with the same block are in
    one run.
    """
    starts, sizes = members.starts, members.sizes
    order = array("I", sorted(range(len(starts)), key=starts.__getitem__))
    ends = array("I")
    weight, last = 0, -1
    for at, index in enumerate(order):
        start = starts[index]
        if weight >= run_bytes and start != last:
            ends.append(at)
            weight = 0
        weight += sizes[index]
        last = start
    if order:
        ends.append(len(order))
    return order, ends
