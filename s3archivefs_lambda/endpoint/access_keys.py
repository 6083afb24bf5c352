"""The keys with which clients sign, and what each of them may read."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.key_space import climbs_out
from s3archivefs_lambda.text import to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["AccessKey", "AccessKeys"]

_SIGNING_KEYS = 16
"""Signing keys that an access key remembers: one for each day and region."""


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key with which clients sign."""

    id: str
    secret: str = field(repr=False)
    starts: Mapping[str, tuple[str, ...]] | None = None
    """How the keys begin that it may read, by bucket; None for all.

    Each is empty, or ends with a "/".
    """
    is_disabled: bool = False
    _signing_keys: dict[tuple[str, ...], bytes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def may_read(self, bucket: str, start: str) -> bool:
        """Return whether it may read all keys of a bucket that begin with `start`."""
        if self.starts is None:
            return True
        starts = self.starts.get(bucket, ())
        if ".." not in start:
            return start.startswith(starts)
        return any(start.startswith(each) and not climbs_out(start[len(each) :]) for each in starts)

    def may_read_in(self, bucket: str) -> bool:
        """Return whether it may read any keys of a bucket."""
        return self.starts is None or bucket in self.starts

    def signing_key(self, scope: tuple[str, ...]) -> bytes:
        """Return what Signature Version 4 signs with in this scope: a day, a region."""
        key = self._signing_keys.get(scope)
        if key is None:
            key = b"AWS4" + to_bytes(self.secret)
            for part in scope:
                key = hmac.digest(key, to_bytes(part), "sha256")
            if len(self._signing_keys) >= _SIGNING_KEYS:
                self._signing_keys.clear()
            self._signing_keys[scope] = key
        return key


class AccessKeys:
    """The known keys. Others take their place all at once."""

    __slots__ = ("_by_id", "nobody")

    def __init__(self, keys: Iterable[AccessKey]) -> None:
        self._by_id = {key.id: key for key in keys}
        self.nobody = AccessKey("", secrets.token_urlsafe(30))
        """A key that no client has, to check signatures with as if there was one."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)!r})"

    def __iter__(self) -> Iterator[AccessKey]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def find(self, access_key_id: str) -> AccessKey | None:
        """Return the key of that id, if it is known and not disabled. Ids are no secrets."""
        key = self._by_id.get(access_key_id)
        return None if key is None or key.is_disabled else key

    def is_disabled(self, access_key_id: str) -> bool:
        """Return whether the key of that id is known, but disabled."""
        key = self._by_id.get(access_key_id)
        return key is not None and key.is_disabled
