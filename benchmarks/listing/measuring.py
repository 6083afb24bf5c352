"""Measure listings of archives side by side: a process for each, asked in turns."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

from benchmarks.listing.pages import Listing, Page
from benchmarks.listing.process import Cost, serve

__all__ = ["Measured", "measure"]

_ROUNDS = 30


@dataclass(slots=True)
class Measured:
    """The cost of the pages of one archive."""

    listing: Listing
    members: int
    cold: dict[str, Cost] = field(default_factory=dict)
    """By place, the cost of the first request for a page."""
    warm: dict[str, list[Cost]] = field(default_factory=dict)
    """By place, the costs of requests for a page that was just asked for."""
    memory: int = 0
    """The most bytes of memory that the process had."""

    def milliseconds(self, place: str) -> float:
        """Return the median processor time of a page that was just asked for."""
        return median(cost.seconds for cost in self.warm[place]) * 1000


def measure(listings: Sequence[Listing], sizes: Sequence[int], directory: Path) -> list[Measured]:
    """Measure each listing of each archive that is large enough for a full page."""
    found = [
        Measured(listing, members)
        for listing in listings
        for members in sizes
        if members <= listing.shape.members_max and listing.pages(members)
    ]
    context = multiprocessing.get_context("spawn")
    connections = []
    for each in found:
        _say(f"{each.listing.name}: packing {each.members:,} members, unless that image is there")
        image = each.listing.shape.image(each.members, directory)
        ours, theirs = context.Pipe()
        context.Process(target=serve, args=(theirs, image), daemon=True).start()
        theirs.close()  # so that the process notices when this one ends
        connections.append(ours)
    _say("measuring")
    for number in range(_ROUNDS):
        for each, connection in zip(found, connections, strict=True):
            for place, page in each.listing.pages(each.members).items():
                first, second = _cost(connection, page), _cost(connection, page)
                if number == 0:
                    each.cold[place] = first
                each.warm.setdefault(place, []).append(second)
    for each, connection in zip(found, connections, strict=True):
        connection.send(None)
        each.memory = connection.recv()
    return found


def _cost(connection: Connection, page: Page) -> Cost:
    connection.send(page)
    cost = connection.recv()
    assert isinstance(cost, Cost)
    return cost


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
