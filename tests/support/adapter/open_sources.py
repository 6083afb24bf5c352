"""Mapped archives that are open, with nothing between them and a listing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from s3archivefs_lambda.bucket.archive_walk import ArchiveWalk
from s3archivefs_lambda.bucket.listing import page_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.bucket.walk import Span, Work

__all__ = ["OpenSource", "OpenSources", "keys_of", "text"]


@dataclass
class OpenSource:
    """A mapped archive that is open."""

    fs: SquashFS
    opened: int = 0
    walk_depth: int = 1024

    def image(self) -> SquashFS | None:
        self.opened += 1
        return self.fs

    def etags(self, stats: Iterable[Stat]) -> list[str]:
        return [str(stat.reference) for stat in stats]

    def may_list(self, link: bytes) -> bool:
        return True

    def failure(self, error: Exception) -> Exception:
        return AssertionError(f"unreadable: {error}")


class OpenSources:
    """Mapped archives, all of them looked at for each question."""

    def __init__(self, opened: dict[bytes, OpenSource]) -> None:
        self.opened = opened

    def around(self, key: bytes) -> list[bytes]:
        return sorted(virtual for virtual in self.opened if key.startswith(virtual))

    def first(self, floor: bytes) -> bytes | None:
        return min((virtual for virtual in self.opened if virtual >= floor), default=None)

    def walk(self, virtual: bytes, span: Span, work: Work) -> ArchiveWalk:
        return ArchiveWalk(self, self.opened[virtual], virtual, span, work)


def keys_of(
    fs: SquashFS | dict[bytes, OpenSource],
    prefix: bytes = b"",
    delimiter: bytes = b"",
    floor: bytes = b"",
    count: int = 1_000_000,
) -> list[bytes]:
    """The keys and common prefixes of a page of one archive, or of several."""
    opened = fs if isinstance(fs, dict) else {b"": OpenSource(fs)}
    page = page_of(OpenSources(opened), prefix, delimiter, floor, max_items=count)
    return [item.key for item in page.items]


def text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
