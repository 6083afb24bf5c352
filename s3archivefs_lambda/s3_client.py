"""The S3 client: boto3's, with the time-outs and retries that a function's 60 seconds allow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

__all__ = ["make_s3_client"]


def make_s3_client(*, parallelism: int = 10) -> S3Client:
    """An S3 client that `parallelism` threads can use at once.

    Endpoint, region, credentials and retries are the standard AWS settings; where the environment
    names an endpoint, addressing is path-style, which every S3-compatible store understands.
    """
    import boto3  # noqa: PLC0415 -- 0.2 s that settings and images on local disks need not pay
    from botocore.config import Config  # noqa: PLC0415

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    # What is given here would win over the environment's settings, and those are the operator's.
    retries: Any = {}
    if not os.environ.get("AWS_RETRY_MODE"):
        retries["mode"] = "standard"
    if not os.environ.get("AWS_MAX_ATTEMPTS"):
        retries["total_max_attempts"] = 5
    config = Config(
        connect_timeout=2,  # seconds, as is the next
        read_timeout=5,
        retries=retries,
        max_pool_connections=max(2, parallelism),  # two: opening reads both ends at once
        tcp_keepalive=True,
        # By default boto3 checks what a ranged GET returns against a checksum of the whole object,
        # on stores that send one (rclone). S3 sends none with ranges: nothing is lost.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"} if endpoint else None,
    )
    # botocore itself reads AWS_DEFAULT_REGION alone; as in the other SDKs, AWS_REGION comes first.
    session = boto3.session.Session(region_name=os.environ.get("AWS_REGION") or None)
    return session.client("s3", config=config)
