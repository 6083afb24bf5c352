"""The document of access keys: JSON, checked strictly.

Messages say which key and member is wrong, never what it holds: that may be a secret in the wrong
place.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.prefix_map import parse_prefix
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["parse_keys"]

_MEMBERS = ("id", "secret", "prefixes", "disabled")
_ID = re.compile(r"[!-+.0-~-]{1,128}")  # neither comma nor slash, which end it in a signature
_SECRET = re.compile(r"[!-~]{8,256}")


class _RepeatedError(ValueError):
    """A name that stands twice in one JSON object."""


def parse_keys(text: str, origin: str, default_bucket: str) -> AccessKeys:
    """Return the keys of a document: an array, or an object of them by id.

    Prefixes that name no bucket are in `default_bucket`. Raises UsageError, on one line, naming
    `origin` and the place in it.
    """
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{origin}: is not JSON: {where}") from None
    except _RepeatedError:
        raise UsageError(f"{origin}: a name stands twice in one object; keep one") from None
    except ValueError:
        raise UsageError(f"{origin}: a number in it has too many digits") from None
    except RecursionError:
        raise UsageError(f"{origin}: is nested too deeply") from None
    try:
        keys = list(_keys(document, default_bucket))
        _check_ids(keys)
    except SettingError as error:
        raise UsageError(f"{origin}: {error}") from None
    return AccessKeys(keys)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _RepeatedError
    return members


def _keys(document: object, default_bucket: str) -> Iterator[AccessKey]:
    match document:
        case list():
            described = document
        case dict() if all(isinstance(members, dict) for members in document.values()):
            if any("id" in members for members in document.values()):
                raise SettingError('a key has its "id" as its name; leave out the member')
            described = [{"id": name, **members} for name, members in document.items()]
        case _:
            raise SettingError('write an array of keys: [{"id": "...", "secret": "..."}]')
    if not described:
        raise SettingError("there is no key in it; to shut somebody out, disable their key")
    for number, members in enumerate(described, start=1):
        try:
            yield _key(members, default_bucket)
        except SettingError as error:
            raise SettingError(f"key {number}: {error}") from None


def _key(members: object, default_bucket: str) -> AccessKey:
    if not isinstance(members, dict):
        raise SettingError('write an object: {"id": "...", "secret": "..."}')
    if unknown := sorted(members.keys() - set(_MEMBERS)):
        shown = f' "{unknown[0]}"' if re.fullmatch("[a-z_]{1,16}", unknown[0]) else ""
        raise SettingError(f"there is no such member{shown}; there are {', '.join(_MEMBERS)}")
    access_key_id, secret = members.get("id"), members.get("secret")
    if not isinstance(access_key_id, str) or _ID.fullmatch(access_key_id) is None:
        raise SettingError(
            '"id": write 1 to 128 printable ASCII characters without spaces, commas and slashes'
        )
    if not isinstance(secret, str) or _SECRET.fullmatch(secret) is None:
        raise SettingError('"secret": write 8 to 256 printable ASCII characters without spaces')
    is_disabled = members.get("disabled", False)
    if not isinstance(is_disabled, bool):
        raise SettingError('"disabled": write true or false')
    starts = None
    if "prefixes" in members:
        starts = _starts(members["prefixes"], default_bucket)
    return AccessKey(access_key_id, secret, starts, is_disabled)


def _starts(prefixes: object, default_bucket: str) -> dict[str, tuple[str, ...]]:
    """Return how the keys begin that lie under these prefixes, by bucket."""
    if not isinstance(prefixes, list):
        raise SettingError('"prefixes": write an array of text; without it, all may be read')
    starts: dict[str, set[str]] = {}
    for number, text in enumerate(prefixes, start=1):
        if not isinstance(text, str):
            raise SettingError(f'"prefixes", number {number}: write text')
        try:
            bucket, prefix = parse_prefix(text)
        except SettingError as error:
            raise SettingError(f'"prefixes", number {number} {error}') from None
        starts.setdefault(bucket or default_bucket, set()).add(f"{prefix}/" if prefix else "")
    return {bucket: tuple(sorted(found)) for bucket, found in starts.items()}


def _check_ids(keys: Sequence[AccessKey]) -> None:
    numbers: dict[str, int] = {}
    for number, key in enumerate(keys, start=1):
        if (first := numbers.setdefault(key.id, number)) != number:
            raise SettingError(f'keys {first} and {number} have the same "id"; keep one')
