"""The pages of listings that are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.listing.images import FLAT, PER_DIRECTORY, TREE, Shape

__all__ = ["LISTINGS", "PAGE", "PLACES", "Listing", "Page"]

PAGE = 1000
"""Items on a full page."""
PLACES = ("first", "middle", "last")


class Page(NamedTuple):
    """A page to ask for, and what it must hold."""

    query: dict[str, str]
    first_item: str
    """The key or common prefix that it must begin with."""
    is_last: bool


@dataclass(frozen=True, slots=True)
class Listing:
    """A kind of listing, of archives of one shape."""

    name: str
    shape: Shape
    delimiter: str = ""

    def pages(self, members: int) -> dict[str, Page]:
        """Return the full pages of such an archive by their places, of PLACES."""
        items = members // PER_DIRECTORY if self.delimiter else members
        starts = {"first": 0, "middle": items // 2, "last": items - PAGE}
        return {
            place: self._page(start, is_last=start + PAGE == items)
            for place, start in starts.items()
            if place == "first" or 0 < start <= items - PAGE
            if items >= PAGE
        }

    def _page(self, start: int, *, is_last: bool) -> Page:
        query = {"list-type": "2", "delimiter": self.delimiter}
        if start:
            query["start-after"] = self._item(start - 1)
        return Page(query, self._item(start), is_last)

    def _item(self, number: int) -> str:
        if self.delimiter:
            head, _, _ = self.shape.key(number * PER_DIRECTORY).partition(self.delimiter)
            return head + self.delimiter
        return self.shape.key(number)


LISTINGS = (
    Listing("keys, in directories of 1,000", TREE),
    Listing("keys, in one directory", FLAT),
    Listing("common prefixes, each a directory of 1,000", TREE, "/"),
)
