"""How a store is reached where the standard AWS settings are not to decide it."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["STANDARD_ACCESS", "StoreAccess"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """Address and credentials of a store; the standard AWS settings decide what is None."""

    endpoint_url: str | None = None
    region_name: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    profile: str | None = None
    """The section of the AWS configuration files."""
    verify: bool | str | None = None
    """Whether certificates are checked, or the file of the authorities that are trusted."""
    is_anonymous: bool = False
    """Whether requests go unsigned."""


STANDARD_ACCESS = StoreAccess()
"""The access that the standard AWS settings decide."""
