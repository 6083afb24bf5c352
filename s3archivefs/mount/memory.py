"""How much memory decoded blocks may take, by what the machine has.

`tar` and random reads come back to blocks: with a cache that holds them all they take a third.
"""

from __future__ import annotations

import os
from contextlib import suppress

__all__ = ["available_memory", "default_cache_mib"]

_LEAST_MIB, _MOST_MIB = 96, 384
"""MiB of each image: the cache of any reader, and what holds a source tree."""
_SHARE = 16
"""What part of the memory all images together take, above that least."""
_MIB_BITS = 20


def default_cache_mib(images: int, memory: int | None = None) -> int:
    """Return the MiB of decoded blocks to keep of each of several images.

    `memory` is what there is, in bytes: by default what this process may use.
    """
    if memory is None:
        memory = available_memory()
    share = memory // _SHARE // max(1, images) >> _MIB_BITS
    return min(max(_LEAST_MIB, share), _MOST_MIB)


def available_memory(groups: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> int:
    """Return the bytes of memory this process may use, by the machine and its cgroup.

    `groups` is where cgroups are, and `own` has the path of this process's. A container sees its
    own as the topmost.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits = ["memory.max", "memory/memory.limit_in_bytes"]
    with suppress(OSError), open(own, encoding="utf-8") as lines:  # noqa: PTH123 -- pathlib takes 10 ms
        limits += [f"{line[3:].strip()}/memory.max" for line in lines if line.startswith("0::")]
    for each in limits:
        # "max" where nothing limits it.
        with suppress(OSError, ValueError), open(f"{groups}/{each}", encoding="utf-8") as file:  # noqa: PTH123 -- likewise
            found.append(int(file.read()))
    return min(found)
