"""The members of a dataset in partitions that share no blocks."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from s3archivefs.format import ABSENT_32

if TYPE_CHECKING:
    from s3archivefs.dataset.members import Members

__all__ = ["partitions_of"]

_TOGETHER_BYTES = 8 << 20
"""Bytes of content that stay together in any case where they share blocks.

A fragment block has at most 1 MiB. Files that share one have more only as duplicates, or with
blocks of their own.
"""


def partitions_of(members: Members, partition_bytes: int) -> list[array[int]]:
    """Return the members in partitions of about so many bytes of content.

    Each is in the order of the disk. A partition has at least half of the mean of them, and ends
    where no member behind shares a block or a fragment block with one before. Where members that do
    have more than twice the mean, and than 8 MiB, it ends among them.
    """
    starts, sizes, fragments = members.starts, members.sizes, members.fragments
    order = _by_place(members)
    last_of = {starts[index]: at for at, index in enumerate(order)}
    last_with = {fragments[index]: at for at, index in enumerate(order)}
    last_with.pop(ABSENT_32, None)
    total = sum(sizes)
    mean = max(1, total / max(1, round(total / partition_bytes)))
    most = max(2 * mean, _TOGETHER_BYTES)
    partitions: list[array[int]] = []
    partition = array("I")
    begin = done = reach = 0
    goal = mean
    for at, index in enumerate(order):
        is_apart = reach < at or done - begin >= most
        if done >= goal and is_apart and total - done >= mean / 2:
            partitions.append(partition)
            partition, begin = array("I"), done
            goal = ((done + mean / 2) // mean + 1) * mean
        partition.append(index)
        done += sizes[index]
        reach = max(reach, last_of[starts[index]], last_with.get(fragments[index], 0))
    if partition:
        partitions.append(partition)
    for each in partitions:
        each[:] = array("I", sorted(each, key=starts.__getitem__))
    return partitions


def _by_place(members: Members) -> list[int]:
    """Return the members in disk order, but those of a fragment block together."""
    starts, fragments = members.starts, members.fragments
    firsts: dict[int, int] = {}
    for start, fragment in zip(starts, fragments, strict=True):
        firsts[fragment] = min(start, firsts.get(fragment, start))
    firsts.pop(ABSENT_32, None)

    def place(index: int) -> int:
        return firsts.get(fragments[index], starts[index])

    return sorted(range(len(starts)), key=place)
