"""Where the endpoint's access keys come from: a file, AWS Secrets Manager, or two variables."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.commands.endpoint_settings import (
    KEYS_FILE,
    KEYS_SECRET,
    EndpointSetting,
)
from s3archivefs_lambda.commands.errors import UsageError, require
from s3archivefs_lambda.config.names import ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

__all__ = ["KeySource", "key_source", "tell_of_unserved"]

_LOG = logging.getLogger("s3archivefs")

_PAIR = (ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY)


@dataclass(frozen=True, slots=True)
class KeySource:
    """A place that has the access keys."""

    load: Callable[[str], AccessKeys]
    """Read them; prefixes that name no bucket are in the given one.

    Raises UsageError, on one line.
    """
    may_change: bool
    """Whether they may be others when they are read again."""


def key_source(
    settings: Mapping[EndpointSetting, str], environ: Mapping[str, str]
) -> KeySource | None:
    """Return the one place that has the access keys, or None if there are none.

    Raises UsageError if several are named, or half of a pair, and for a pair that cannot be one.
    """
    pair = [name for name in _PAIR if environ.get(name)]
    named = [
        *(setting.variable for setting in (KEYS_FILE, KEYS_SECRET) if setting in settings),
        *([" with ".join(_PAIR)] if pair else []),
    ]
    if len(named) > 1:
        raise UsageError(f"access keys come from one place; choose one of {', '.join(named)}")
    if (path := settings.get(KEYS_FILE)) is not None:
        return KeySource(partial(_from_file, path), may_change=True)
    if (name := settings.get(KEYS_SECRET)) is not None:
        return KeySource(partial(_from_secret, name), may_change=True)
    if not pair:
        return None
    if missing := [name for name in _PAIR if name not in pair]:
        raise UsageError(f"{missing[0]}: set it too, or neither of the two")
    keys = AccessKeys([_of_pair(environ)])
    return KeySource(lambda _: keys, may_change=False)


def _of_pair(environ: Mapping[str, str]) -> AccessKey:
    """Return the key of the two variables.

    Raises UsageError if no client could sign with it. The document's rules are stricter: a pair
    that clients already have may be any other.
    """
    access_key_id, secret = (environ[name] for name in _PAIR)
    if re.search(r"[\0- ,/\x7f]", access_key_id):
        what = "leave out spaces, line breaks, other control characters, commas and slashes"
        raise UsageError(f"{ENDPOINT_ACCESS_KEY_ID}: {what}")
    if secret[-1] in "\r\n":
        raise UsageError(f"{ENDPOINT_SECRET_ACCESS_KEY}: leave out the line break at its end")
    return AccessKey(access_key_id, secret)


def tell_of_unserved(keys: AccessKeys, served: Container[str]) -> None:
    """Log which keys have prefixes in buckets that are not served."""
    for key in keys:
        for bucket in key.starts or ():
            if bucket not in served:
                what = "access key %s: its prefixes name the bucket %s, which is not served"
                _LOG.warning(what, key.id, bucket)


def _from_file(path: str, default_bucket: str) -> AccessKeys:
    from s3archivefs_lambda.commands.key_document import parse_keys
    from s3archivefs_lambda.commands.private_files import read_private

    return parse_keys(read_private(path), path, default_bucket)


def _from_secret(name: str, default_bucket: str) -> AccessKeys:
    from s3archivefs_lambda.commands.key_document import parse_keys

    origin = f"the secret {name}"
    require("botocore", extra="lambda", what=origin)
    return parse_keys(_secret_string(name, origin), origin, default_bucket)


def _secret_string(name: str, origin: str) -> str:
    import os

    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.session import Session

    # An ARN names its region; for a name the usual settings do.
    region = name.split(":")[3] if name.startswith("arn:") and name.count(":") >= 6 else None
    config = Config(
        connect_timeout=5, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
    )
    try:
        client: Any = Session().create_client(
            "secretsmanager",
            region_name=region or os.environ.get("AWS_REGION") or None,
            config=config,
        )
        answer = client.get_secret_value(SecretId=name)
    except (BotoCoreError, ClientError, ValueError, OSError) as error:
        what = " ".join(str(error).split())  # on one line, whatever a program for credentials said
        raise UsageError(f"{origin}: cannot be read: {what}") from None
    # botocore trips over a program for credentials that is not named, or prints no JSON object.
    except (AttributeError, LookupError, TypeError) as error:
        what = f"botocore cannot use the settings for AWS ({type(error).__name__}: {error})"
        raise UsageError(f"{origin}: cannot be read: {what}") from None
    text = answer.get("SecretString")
    if not isinstance(text, str):
        raise UsageError(f"{origin}: has no text; store the document as its SecretString")
    return text
