"""The S3 clients, with the time-outs and retries that a function's 60 seconds allow.

They are botocore's, not boto3's, which add file transfers and 40 ms to each cold start.

Endpoint, region, credentials and retries come from the standard AWS settings. If the environment
names an endpoint, all requests go there: path-style, which every S3-compatible store understands,
and without a prefix to its host name.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from s3archivefs_lambda.store.access import STANDARD_ACCESS, StoreAccess
from s3archivefs_lambda.store.errors import StoreSettingsError
from s3archivefs_lambda.store.prepared_gets import before_send, prepare_gets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_s3 import S3Client

__all__ = [
    "READ_TIMEOUT",
    "make_response_client",
    "make_s3_client",
    "make_unsigned_client",
    "make_upload_client",
]

READ_TIMEOUT = 5.0
"""Seconds to wait for the next bytes of an answer."""
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def make_s3_client(
    *,
    connections: int = 10,
    read_timeout: float = READ_TIMEOUT,
    access: StoreAccess = STANDARD_ACCESS,
) -> S3Client:
    """Make the client that reads objects, with `connections` requests in flight at most."""
    client = _reading_client(
        access=access, max_pool_connections=connections, read_timeout=read_timeout
    )
    prepare_gets(client)
    return client


def make_unsigned_client() -> S3Client:
    """Make the client that reads objects as anybody may."""
    return _reading_client(access=StoreAccess(is_anonymous=True), read_timeout=READ_TIMEOUT)


def _reading_client(*, access: StoreAccess, **settings: Any) -> S3Client:  # noqa: ANN401 -- botocore's settings
    client = _client(
        access=access,
        connect_timeout=2,  # seconds
        retries=_retries(5),
        tcp_keepalive=True,
        # By default botocore compares a range with the checksum of the whole object, on stores that
        # send one (rclone). S3 sends none with ranges, so nothing is lost.
        response_checksum_validation="when_required",
        **settings,
    )
    client.meta.events.register("before-send.s3", before_send)
    return client


def make_response_client() -> S3Client:
    """Make the client for WriteGetObjectResponse.

    It streams bodies that cannot be read twice, so it signs no payload and tries once.
    """
    return _client(
        s3={"payload_signing_enabled": False},
        retries={"total_max_attempts": 1},
        connect_timeout=60,  # for each piece of the body too: the caller of S3 may read slowly
        read_timeout=60,  # until S3 answers, which is when its caller has read everything
    )


def make_upload_client(*, threads: int) -> S3Client:
    """Make the client that stores an archive, with `threads` parts in flight.

    Time is no issue for it: it waits long and retries often.
    """
    return _client(
        connect_timeout=10,  # for each piece that is sent too
        read_timeout=60,  # completing an upload may take S3 long
        retries=_retries(8),
        max_pool_connections=threads,
    )


def _retries(attempts: int) -> dict[str, Any]:
    """Return botocore's settings for standard retries with `attempts` attempts.

    Settings of the environment come first; in botocore they would lose to those in code.
    """
    retries: dict[str, Any] = {}
    if not os.environ.get("AWS_RETRY_MODE"):
        retries["mode"] = "standard"
    if not os.environ.get("AWS_MAX_ATTEMPTS"):
        retries["total_max_attempts"] = attempts
    return retries


def _client(
    *,
    s3: Mapping[str, Any] = {},
    access: StoreAccess = STANDARD_ACCESS,
    **settings: Any,  # noqa: ANN401 -- botocore's settings
) -> S3Client:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 -- 0.1 s, not needed for local images

    try:
        return _client_of_settings(s3, access, settings)
    # Whoever gives credentials, or keeps the settings, may be no file that can be run, or read.
    except (BotoCoreError, ValueError, OSError) as error:
        what = " ".join(str(error).split())  # on one line
        raise StoreSettingsError(f"the settings for AWS: {what}") from error


def _client_of_settings(
    s3: Mapping[str, Any], access: StoreAccess, settings: dict[str, Any]
) -> S3Client:
    from botocore import UNSIGNED  # noqa: PLC0415 -- 0.1 s, not needed for local images
    from botocore.config import Config  # noqa: PLC0415 -- likewise
    from botocore.session import Session  # noqa: PLC0415 -- likewise

    from s3archivefs_lambda.store.descriptions import share_descriptions  # noqa: PLC0415 -- likewise

    endpoints = access.endpoint_url, *map(os.environ.get, _ENDPOINT_VARIABLES)
    is_custom = any(endpoints)
    addressing = {"addressing_style": "path"} if is_custom else {}
    settings["s3"] = {**s3, **addressing}
    if access.is_anonymous:
        settings["signature_version"] = UNSIGNED
    config = Config(
        request_checksum_calculation="when_required", inject_host_prefix=not is_custom, **settings
    )
    session = Session(profile=access.profile)
    share_descriptions(session)
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(timestamp_parser=_timestamp)
    # botocore itself reads AWS_DEFAULT_REGION alone; as in the other SDKs, AWS_REGION comes first.
    region = access.region_name or os.environ.get("AWS_REGION") or None
    try:
        made = session.create_client(
            "s3",
            region_name=region,
            endpoint_url=access.endpoint_url,
            verify=access.verify,
            aws_access_key_id=access.access_key_id,
            aws_secret_access_key=access.secret_access_key,
            aws_session_token=access.session_token,
            config=config,
        )
    # botocore takes it for granted that a program is named, and that it prints an object of JSON.
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"botocore cannot use them ({type(error).__name__}: {error})") from error
    client = cast("S3Client", made)
    client.meta.events.register("needs-retry.s3.HeadBucket", _end_redirects)
    return client


def _timestamp(text: Any) -> datetime:  # noqa: ANN401 -- whatever an answer has in place of a time
    """Parse a time; raise ValueError for any other text.

    botocore's own parser takes two thirds of the processor time of a page of 1,000 keys.
    """
    from botocore.utils import parse_timestamp  # noqa: PLC0415 -- 0.1 s, not needed for local images

    with suppress(ValueError):
        if isinstance(text, str) and text.endswith("Z"):
            return datetime.fromisoformat(text)
        if isinstance(text, str) and text.endswith("GMT"):
            return parsedate_to_datetime(text)
    return parse_timestamp(text)


def _end_redirects(
    *,
    request_dict: dict[str, Any],
    response: tuple[Any, dict[str, Any]] | None,
    **_: object,
) -> None:
    """Stop botocore from following the redirect of a HeadBucket without a region.

    botocore repeats a redirected request in the bucket's region, never at the host that the answer
    names. If the answer lacks the region, it asks for that with HeadBucket: without end if the
    store redirects HeadBucket too.
    """
    if response is None:  # no answer came
        return
    parsed = response[1]
    headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "x-amz-bucket-region" not in headers and "Region" not in parsed.get("Error", {}):
        request_dict["context"]["s3_redirect"]["redirected"] = True
