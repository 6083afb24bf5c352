"""What `serve` is told by --bucket and --archives: its default bucket, and buckets of S3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.commands.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from s3archivefs_lambda.config.key_patterns import KeyPatterns
    from s3archivefs_lambda.config.prefix_map import PrefixMapping
    from s3archivefs_lambda.config.settings import Config

__all__ = ["ServedBuckets", "served_buckets"]

_DEFAULT_NAME = "archive"
_DEFAULT_PATTERN = "*.sqfs"


class ServedBuckets(NamedTuple):
    """The buckets that the options name."""

    default: str
    """The one of mappings that name none."""
    objects: Sequence[PrefixMapping] = ()
    """Mappings to the own objects of those in S3."""


def served_buckets(
    texts: Sequence[str], patterns: Sequence[str], settings: Config
) -> ServedBuckets:
    """Return what the options say; --archives goes before the setting in its place.

    Raises UsageError for a name that no bucket of S3 has, a further bucket that is none of S3, and
    what cannot be a pattern.
    """
    first, *further = texts or [_DEFAULT_NAME]
    for text in further:
        if "://" not in text:
            raise UsageError(f"--bucket {text!r}: a second bucket is one in S3; write s3://{text}")
    if "://" not in first:
        _check_name(first)
        if patterns and not further:
            raise UsageError(f"--archives: needs a bucket in S3, such as --bucket s3://{first}")
    in_s3 = [text for text in (first, *further) if "://" in text]
    archives = _patterns(patterns, settings)
    objects = [_mapping(text, archives) for text in in_s3]
    return ServedBuckets(objects[0].bucket if first in in_s3 else first, objects)


def _check_name(name: str) -> None:
    from s3archivefs_lambda.config.location import BUCKET_NAME_RULE, is_bucket_name

    if not is_bucket_name(name):
        raise UsageError(f"--bucket {name!r}: write {BUCKET_NAME_RULE}")


def _patterns(given: Sequence[str], settings: Config) -> KeyPatterns:
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.key_patterns import KeyPatterns

    try:
        archives = KeyPatterns(tuple(given)) if given else settings.bucket_archives
    except SettingError as error:
        raise UsageError(f"--archives {error}") from error
    return archives or KeyPatterns((_DEFAULT_PATTERN,))


def _mapping(url: str, archives: KeyPatterns) -> PrefixMapping:
    """Return the mapping of a bucket, or a part of it, to its own objects."""
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.location import parse_bucket_location
    from s3archivefs_lambda.config.prefix_map import PrefixMapping

    origin = f"--bucket {url}"
    try:
        location = parse_bucket_location(url)
    except SettingError as error:
        raise UsageError(f"{origin} {error}") from error
    name = re.split("[/:]", location.bucket)[-1]  # the last part of an access point's ARN
    prefix = location.key.removesuffix("/")
    return PrefixMapping(prefix, location, origin, bucket=name, archives=archives)
