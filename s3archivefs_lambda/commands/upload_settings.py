"""Settings of `upload` that an option or an environment variable gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.names import UPLOAD_PART_BYTES, UPLOAD_STORAGE_CLASS
from s3archivefs_lambda.config.values import whole_number
from s3archivefs_lambda.upload.image_parts import MAX_PART_BYTES, MIN_PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["part_bytes", "storage_class"]

_SHORT_NAMES = {"INT": "INTELLIGENT_TIERING", "GIR": "GLACIER_IR"}


def storage_class(option: str, environ: Mapping[str, str]) -> str:
    """Return the storage class by S3's name of it; empty for S3's default."""
    given = option or environ.get(UPLOAD_STORAGE_CLASS, "")
    return _SHORT_NAMES.get(given, given)


def part_bytes(option: str, environ: Mapping[str, str]) -> int | None:
    """Return the bytes in each part of an upload, or None for the default.

    Raises SettingError for anything but a number of bytes that S3 accepts as a part.
    """
    name, text = "--part-size", option
    if not text:
        name, text = UPLOAD_PART_BYTES, environ.get(UPLOAD_PART_BYTES, "")
    if not text:
        return None
    try:
        return whole_number(MIN_PART_BYTES, MAX_PART_BYTES)(text)
    except SettingError as error:
        raise SettingError(f"{name}={text!r}: {error}") from None
