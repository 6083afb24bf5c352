"""Settings from the ``S3ARCHIVEFS_*`` environment variables, validated once, every fault named.

`SETTINGS` is the one table of names, defaults and meanings; docs/settings.md repeats it. Endpoint
and credentials come from the standard AWS settings (AWS_ENDPOINT_URL_S3, AWS_REGION, ...).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from s3archivefs import Limits
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.names import (
    BUCKET_ARCHIVES,
    ENDPOINT_PREFIX,
    PREFIX,
    UPLOAD_PART_BYTES,
    UPLOAD_STORAGE_CLASS,
)
from s3archivefs_lambda.config.prefix_map import (
    PrefixMap,
    PrefixMapping,
    maps_by_bucket,
    parse_mapping,
)
from s3archivefs_lambda.config.values import (
    COUNT_MAX,
    IN_MEMORY_MAX,
    chunk_size,
    directory,
    floor_to_power_of_two,
    metrics,
    seconds,
    superblock_metadata,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["SETTINGS", "Config", "Setting", "chunk_size_for"]

_MAPPING_NAMES = tuple(f"{PREFIX}PREFIX_VMAP{number}" for number in range(1, 21))
_MAPPING_FILE_NAME = PREFIX + "PREFIX_VMAP_EXT_FILE"

_LIMITS = "limits."
_CACHE_BYTES = _LIMITS + "cache_bytes"
_LIMIT_NAMES = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table of settings."""

    name: str
    """The variable, or the first and last of a family of variables."""
    field: str
    """The field of `Config` that it fills; `limits.NAME` is a field of its `Limits`."""
    parse: Callable[[str], object] | None
    """The parser of its text; None for the mappings."""
    default: str | None
    """The text of its default; None if unset has a meaning of its own."""
    doc: str
    """Its meaning, for docs/settings.md: the unit first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The adapter's settings, as `SETTINGS` explains them: sizes in bytes, times in seconds."""

    cache_dir: Path
    cache_chunk_size: int | None
    """A power of two, or None when unset; `chunk_size_for` applies it to an image."""
    cache_max_bytes: int
    mappings: PrefixMap
    """Of the prefixes that name no bucket."""
    further_buckets: Mapping[str, PrefixMap]
    """Of the prefixes that name one, by its name."""
    bucket_archives: KeyPatterns | None
    revalidate_seconds: float
    stale_seconds: float
    tail_bytes: int
    metadata_bytes: int
    cache_memory_bytes: int
    superblock_metadata: Literal["auto", "expected"]
    open_archives_bytes: int
    metrics: Literal["emf"] | None
    limits: Limits
    """The reader's limits on each image."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        An empty variable counts as unset, but a mapping must not be empty. Raises one SettingError
        with a line for every fault: a value that cannot be used, a mapping that cannot be read or
        has the prefix of another, an unknown ``S3ARCHIVEFS_`` variable.
        """
        faults = list(_unknown_names(environ))
        values: dict[str, Any] = {}
        for setting in SETTINGS:
            values.setdefault(setting.field, None)
            text = environ.get(setting.name) or setting.default
            if setting.parse is None or text is None:
                continue
            try:
                values[setting.field] = setting.parse(text)
            except SettingError as error:
                faults.append(f"{setting.name}={text!r}: {error}")
        if values["cache_memory_bytes"] is None:
            values["cache_memory_bytes"] = min(64 << 20, _function_bytes(environ) // 8)
        if values["open_archives_bytes"] is None:
            values["open_archives_bytes"] = min(256 << 20, _function_bytes(environ) // 4)
        if values[_CACHE_BYTES] is None:
            values[_CACHE_BYTES] = min(Limits().cache_bytes, values["open_archives_bytes"] // 2)
        mappings: list[PrefixMapping] = []
        for origin, text in _mapping_texts(environ, faults):
            try:
                mappings.append(parse_mapping(text, origin))
            except SettingError as error:
                faults.append(str(error))
        try:
            maps = maps_by_bucket(mappings)
            values["mappings"] = maps.pop("", PrefixMap())
            values["further_buckets"] = maps
        except SettingError as error:
            faults.append(str(error))
        if faults:
            raise SettingError("\n".join(faults))
        limits = {name: values.pop(_LIMITS + name) for name in _LIMIT_NAMES}
        return cls(limits=Limits(**limits), **values)


def chunk_size_for(configured: int | None, block_size: int) -> int:
    """Return the bytes in one chunk of an image whose blocks have `block_size` bytes.

    That is the larger of the configured size, floored to a power of two, and the block size, a
    power of two by the format.
    """
    return max(floor_to_power_of_two(configured or 0), block_size)


def _function_bytes(environ: Mapping[str, str]) -> int:
    """Return the Lambda function's memory in bytes; outside Lambda, more than any default needs.

    Functions have 128 MB or more. Python and the AWS SDK take half of that.
    """
    megabytes = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "")
    return int(megabytes) << 20 if re.fullmatch(r"[0-9]{1,9}", megabytes) else COUNT_MAX


# In the order in which people need them, which docs/settings.md follows.
SETTINGS: tuple[Setting, ...] = (
    Setting(
        name=PREFIX + "CACHE_DIR",
        field="cache_dir",
        parse=directory,
        default="/tmp",  # noqa: S108 -- Lambda's only writable directory; the cache makes a private one inside
        doc="Directory that holds the chunk cache; with EFS, /mnt/<mount>.",
    ),
    Setting(
        name=PREFIX + "CACHE_CHUNK_SIZE",
        field="cache_chunk_size",
        parse=chunk_size,
        default=None,
        doc="Bytes in one cached chunk, floored to a power of two. Unset, or below the image's "
        "block size: the block size.",
    ),
    Setting(
        name=f"{_MAPPING_NAMES[0]} ... {_MAPPING_NAMES[-1]}",
        field="mappings",
        parse=None,
        default=None,
        doc="One mapping each: virtual/prefix|s3://bucket/prefix/object. An empty virtual prefix "
        "maps the archive at the root. Numbers may have gaps. For the endpoint, a virtual prefix "
        "of the form s3://BUCKET/virtual/prefix names the bucket that has it.",
    ),
    Setting(
        name=_MAPPING_FILE_NAME,
        field="mappings",
        parse=None,
        default=None,
        doc="UTF-8 file with one such mapping a line, for more than 20. Blank lines and lines that "
        "start with # are ignored.",
    ),
    Setting(
        name=BUCKET_ARCHIVES,
        field="bucket_archives",
        parse=KeyPatterns.parse,
        default=None,
        doc="Patterns of archives' keys, such as *.sqfs, with spaces between them. With them the "
        "function serves the objects of its bucket too; for serve they are what --archives gives.",
    ),
    Setting(
        name=PREFIX + "CACHE_MAX_BYTES",
        field="cache_max_bytes",
        parse=whole_number(0, COUNT_MAX),
        # Lambda's /tmp holds 512 MB by default. A quarter stays free: for temporary files of other
        # code in the function, and for what the file system needs itself.
        default=str(384 * 1024 * 1024),
        doc="Bytes the chunk cache may occupy. Above that, the least recently used chunks are "
        "evicted. 0: no cache. The default leaves room in the 512 MB of Lambda's /tmp.",
    ),
    Setting(
        name=PREFIX + "CACHE_MEMORY_BYTES",
        field="cache_memory_bytes",
        parse=whole_number(0, COUNT_MAX),
        default=None,
        doc="Bytes of chunks that are kept in memory too, by all workers together. Readahead may "
        "take three quarters as many besides. 0: no chunks in memory, and no readahead. Unset: "
        "67108864, but in a Lambda function no more than an eighth of its memory.",
    ),
    Setting(
        name=PREFIX + "REVALIDATE_SECONDS",
        field="revalidate_seconds",
        parse=seconds,
        default="60",
        doc="Seconds for which an archive in S3 counts as unchanged. 0: each request asks S3. Each "
        "request checks local images.",
    ),
    Setting(
        name=PREFIX + "STALE_SECONDS",
        field="stale_seconds",
        parse=seconds,
        default="3600",
        doc="Seconds for which the version of an archive that S3 last confirmed is still served "
        "while S3 cannot be asked: unreachable, silent, throttling or 5xx. 0: never. The default "
        "outlasts most outages. Where only this network has lost the store, an archive may be "
        "replaced meanwhile.",
    ),
    Setting(
        name=PREFIX + "SUPERBLOCK_METADATA",
        field="superblock_metadata",
        parse=superblock_metadata,
        default="auto",
        doc='"expected": archives carry the user metadata s3archivefs-superblock, so opening one '
        "does not fetch its first bytes ahead, but after the last where it is missing, or that of "
        'an image of another length. "auto": they may lack it.',
    ),
    Setting(
        name=PREFIX + "METRICS",
        field="metrics",
        parse=metrics,
        default=None,
        doc='"emf": each line of the request log is also a document of CloudWatch\'s embedded '
        "metric format, from which CloudWatch Logs makes metrics.",
    ),
    Setting(
        name=PREFIX + "OPEN_ARCHIVES_BYTES",
        field="open_archives_bytes",
        parse=whole_number(0, COUNT_MAX),
        default=None,
        doc="Bytes of memory for archives kept open between requests: their metadata and decoded "
        "blocks (at most S3ARCHIVEFS_LIMIT_CACHE_BYTES each). The least recently used is closed, "
        "and opened again from the chunk cache. Unset: 268435456, but in a Lambda function no "
        "more than a quarter of its memory.",
    ),
    Setting(
        name=PREFIX + "TAIL_BYTES",
        field="tail_bytes",
        parse=whole_number(1, IN_MEMORY_MAX),
        default=str(512 * 1024),
        doc="Bytes fetched from the end of an archive, where squashfs keeps its metadata, when it "
        "is opened for the first time. The chunk cache remembers how many it needed.",
    ),
    Setting(
        name=PREFIX + "METADATA_BYTES",
        field="metadata_bytes",
        parse=whole_number(0, IN_MEMORY_MAX),
        default=str(8 * 1024 * 1024),
        doc="Bytes of metadata, at most, that opening an archive fetches whole and holds in "
        "memory. Larger metadata is fetched in chunks, as needed.",
    ),
    Setting(
        name=PREFIX + "LIMIT_CACHE_BYTES",
        field=_CACHE_BYTES,
        parse=whole_number(0, COUNT_MAX),
        default=None,
        doc="Bytes of decoded metadata and data blocks kept in memory. Unset: "
        f"{Limits().cache_bytes}, but no more than half of S3ARCHIVEFS_OPEN_ARCHIVES_BYTES.",
    ),
    *(
        Setting(
            name=f"{PREFIX}LIMIT_{field.name.upper()}",
            field=_LIMITS + field.name,
            parse=whole_number(0, COUNT_MAX),
            default=str(field.default),
            doc=f"The reader's limit `{field.name}` on what one image may cost.",
        )
        for field in fields(Limits)
        if _LIMITS + field.name != _CACHE_BYTES
    ),
)

_KNOWN_NAMES = frozenset(setting.name for setting in SETTINGS if setting.parse) | {
    *_MAPPING_NAMES,
    _MAPPING_FILE_NAME,
}


def _unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a fault for each unknown ``S3ARCHIVEFS_`` variable: its name may be misspelt."""
    for name in sorted(environ.keys() - _KNOWN_NAMES - {UPLOAD_STORAGE_CLASS, UPLOAD_PART_BYTES}):
        if not name.startswith(PREFIX) or name.startswith(ENDPOINT_PREFIX):
            continue
        if re.fullmatch(r"S3ARCHIVEFS_PREFIX_VMAP[^_]*", name):
            yield (
                f"{name}: mappings are {_MAPPING_NAMES[0]} to {_MAPPING_NAMES[-1]}, without leading"
                f" zeros; for more, name a file in {_MAPPING_FILE_NAME}"
            )
        else:
            yield f"{name}: there is no such setting; {_hint(name)}"


def _hint(name: str) -> str:
    """Return the nearest name of a setting, or the page that lists them.

    The common prefix is left out: it would make any two names alike.
    """
    known = sorted(known.removeprefix(PREFIX) for known in _KNOWN_NAMES)
    near = difflib.get_close_matches(name.removeprefix(PREFIX).upper(), known, n=1)
    return f"the nearest is {PREFIX}{near[0]}" if near else "docs/settings.md lists them all"


def _mapping_texts(environ: Mapping[str, str], faults: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (origin, text) of every mapping; append a fault for an unreadable file."""
    for name in _MAPPING_NAMES:
        if name in environ:
            yield name, environ[name]
    file = environ.get(_MAPPING_FILE_NAME)
    if not file:
        return
    try:
        # utf-8-sig drops the byte order mark that editors on Windows write, which would otherwise
        # become part of a prefix.
        lines = Path(file).read_text("utf-8-sig").split("\n")
    except OSError as error:
        faults.append(f"{_MAPPING_FILE_NAME}={file!r}: cannot be read: {error.strerror}")
    except ValueError as error:  # UnicodeDecodeError; NUL in the path
        faults.append(f"{_MAPPING_FILE_NAME}={file!r}: is not a UTF-8 text file: {error}")
    else:
        for number, line in enumerate(lines, start=1):
            if line.strip() and not line.lstrip().startswith("#"):
                yield f"{file}:{number}", line
