"""The image at an s3:// URL: the reader finds `open_url` as an entry point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.archives.pinned import current_settings, open_current, opener_for
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.location import parse_location
from s3archivefs_lambda.store.access import STANDARD_ACCESS

if TYPE_CHECKING:
    from s3archivefs import BlockDevice
    from s3archivefs_lambda.config.location import Location

__all__ = ["location_of", "open_url"]


def open_url(url: str) -> BlockDevice:
    """Return the block device of the object at an s3:// URL.

    Settings come from the environment. Raises SettingError, StoreSettingsError and
    ArchiveAccessError.
    """
    opener = opener_for(current_settings(), STANDARD_ACCESS)
    return open_current(opener, location_of(url), STANDARD_ACCESS).device


def location_of(url: str) -> Location:
    """Return the location that a URL names; raise SettingError with the URL."""
    try:
        return parse_location(url)
    except SettingError as error:
        raise SettingError(f"{url} {error}") from None
