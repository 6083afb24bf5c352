"""The S3 clients: botocore's, with the time-outs and retries that a function's 60 seconds allow.

They are botocore's own, not boto3's, which add file transfers, and 40 ms to each cold start.

Endpoint, region, credentials and retries are the standard AWS settings. Where the environment names
an endpoint, all requests go there: path-style, which every S3-compatible store understands, and
without a prefix to its host name.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from s3archivefs_lambda import accounting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.loaders import Loader
    from types_boto3_s3 import S3Client

__all__ = ["make_response_client", "make_s3_client", "make_upload_client"]


def make_s3_client(*, connections: int = 10) -> S3Client:
    """The client for reading objects, with as many requests under way at once as `connections`."""
    client = _client(
        connect_timeout=2,  # seconds, as is the next
        read_timeout=5,
        retries=_retries(5),
        max_pool_connections=connections,
        tcp_keepalive=True,
        # By default boto3 checks what a ranged GET returns against a checksum of the whole object,
        # on stores that send one (rclone). S3 sends none with ranges: nothing is lost.
        response_checksum_validation="when_required",
    )
    # botocore tells of each attempt, in the thread that makes it; what a handler returns other than
    # None it would take for the answer.
    client.meta.events.register("before-send.s3", lambda **_: accounting.add("s3_requests"))
    return client


def make_response_client() -> S3Client:
    """The client for WriteGetObjectResponse: it streams what cannot be read twice, so it signs no
    payload and tries once.
    """
    return _client(
        s3={"payload_signing_enabled": False},
        retries={"total_max_attempts": 1},
        # urllib3 bounds by the first how long each piece of the body may take too, and the caller
        # may pause as long as S3 waits for it; by the second how long the answer may take, which
        # comes when the caller has all.
        connect_timeout=60,
        read_timeout=60,
    )


def make_upload_client(*, threads: int) -> S3Client:
    """The client that stores an archive, in as many parts at once: it has time, and tries often."""
    return _client(
        connect_timeout=10,  # bounds each piece that is sent, too
        read_timeout=60,  # S3 may take long to put parts together
        retries=_retries(8),
        max_pool_connections=threads,
    )


def _retries(attempts: int) -> dict[str, Any]:
    """Standard retries, `attempts` in all, as far as the operator has not said otherwise: what is
    given in code would win over the environment's settings.
    """
    retries: dict[str, Any] = {}
    if not os.environ.get("AWS_RETRY_MODE"):
        retries["mode"] = "standard"
    if not os.environ.get("AWS_MAX_ATTEMPTS"):
        retries["total_max_attempts"] = attempts
    return retries


def _client(*, s3: Mapping[str, Any] = {}, **settings: Any) -> S3Client:  # noqa: ANN401 -- botocore's settings
    from botocore.config import Config  # noqa: PLC0415 -- 0.1 s, not needed for local images
    from botocore.session import Session  # noqa: PLC0415 -- likewise

    is_custom = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    addressing = {"addressing_style": "path"} if is_custom else {}
    settings["s3"] = {**s3, **addressing}
    config = Config(
        request_checksum_calculation="when_required", inject_host_prefix=not is_custom, **settings
    )
    session = Session()
    session.register_component("data_loader", _descriptions())
    # botocore itself reads AWS_DEFAULT_REGION alone; as in the other SDKs, AWS_REGION comes first.
    region = os.environ.get("AWS_REGION") or None
    client = cast("S3Client", session.create_client("s3", region_name=region, config=config))
    client.meta.events.register("needs-retry.s3.HeadBucket", _end_redirects)
    return client


def _end_redirects(
    *,
    request_dict: dict[str, Any],
    response: tuple[Any, dict[str, Any]] | None,
    **_: object,
) -> None:
    """Keep botocore from asking for a bucket's region in answer to that question.

    It sends a request that is redirected once more, to the bucket's region; never to a host that
    the answer names. Where the answer does not name the region it asks by HeadBucket; of a store
    that redirects this too, without end.
    """
    if response is None:  # there was none
        return
    parsed = response[1]
    headers = parsed.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "x-amz-bucket-region" not in headers and "Region" not in parsed.get("Error", {}):
        request_dict["context"]["s3_redirect"]["redirected"] = True


@cache
def _descriptions() -> Loader:
    """What botocore knows of S3. Each session would read it anew: half of a client's 60 ms."""
    from botocore.session import Session  # noqa: PLC0415 -- as above

    loader: Loader = Session().get_component("data_loader")
    return loader
