"""What every client does: list, get, part of an object, head, and a URL that needs no signature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.conftest import Endpoint


class Reader(ABC):
    """A client; what it cannot do, `cannot` names."""

    cannot: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, endpoint: Endpoint, directory: Path) -> None:
        self.endpoint = endpoint
        self.directory = directory
        """An empty one, for what it downloads."""

    def keys(self, prefix: str) -> dict[str, int]:
        """Every key that begins so, with its size."""
        raise NotImplementedError

    @abstractmethod
    def get(self, key: str) -> bytes: ...

    def part(self, key: str, start: int, stop: int) -> bytes:
        raise NotImplementedError

    def size(self, key: str) -> int:
        """The size, as the head of the object says."""
        raise NotImplementedError

    def url(self, key: str) -> str:
        """A presigned URL."""
        raise NotImplementedError
