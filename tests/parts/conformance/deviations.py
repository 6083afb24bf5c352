"""Where the two other servers are known to answer otherwise than the table says, and how.

A line that is no longer true fails the suite as a new fault does. Of an error only status and code
are compared with theirs.
"""

from __future__ import annotations

import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def _with_heads(faults: Mapping[str, str]) -> dict[str, list[str]]:
    """These faults, and those of the same requests as HEAD, whose answers show no code."""
    heads = {
        f"head {case}": re.sub(r"^(status \d+) \w+", r"\1", fault) for case, fault in faults.items()
    }
    return _alone({**faults, **heads})


def _alone(faults: Mapping[str, str]) -> dict[str, list[str]]:
    return {case: [fault] for case, fault in faults.items()}


# Buckets are few enough to be listed at once, whatever is asked.
_BUCKETS = _alone(
    dict.fromkeys(
        ("max-buckets of 0", "a token for buckets that is malformed"), "status 200, not 400"
    )
)

_START_AFTER = "page 1: StartAfter 'encoding/foo+1 ü', not 'encoding/foo%2B1%20%C3%BC'"

_RADOSGW: dict[str, list[str]] = {
    **_BUCKETS,
    # NextMarker is there without a delimiter too, and StartAfter beside a token.
    **_alone(
        {
            "test_bucket_list_many": "page 1: NextMarker 'many/baz', not None",
            "test_bucket_list_maxkeys_one": "page 1: NextMarker 'four/bar', not None",
            "test_bucket_listv2_both_continuationtoken_startafter": (
                "page 2: StartAfter 'four/bar', not None"
            ),
        }
    ),
    # Keys are encoded with their slashes and less of the rest, prefixes without; some not at all.
    **_alone(
        {
            f"test_bucket_{listing}_encoding_basic": (
                "page 1: keys ['encoding%2Fasdf%2Bb'], not ['encoding/asdf%2Bb']"
            )
            for listing in ("list", "listv2")
        }
    ),
    "prefix, delimiter and start-after are encoded": [_START_AFTER],
    "keys beyond ASCII are encoded": [
        (
            "page 1: keys ['order%2Fa!', 'order%2Fa-b', 'order%2Fa.b', 'order%2Fa%2Fx',"
            " 'order%2Fa%2Fy', 'order%2Fa0', 'order%2Fab', 'order%2Fb', 'order%2F%C3%BC',"
            " 'order%2F%EF%BD%9E', 'order%2F%F0%9F%98%80'], not ['order/a%21', 'order/a-b',"
            " 'order/a.b', 'order/a/x', 'order/a/y', 'order/a0', 'order/ab', 'order/b',"
            " 'order/%C3%BC', 'order/%EF%BD%9E', 'order/%F0%9F%98%80']"
        )
    ],
    # Parameters of listings are hardly checked; any token is a key to start after.
    **_alone(
        dict.fromkeys(
            (
                "max-keys is negative",
                "max-keys is beyond 32 bits",
                "encoding-type is unknown",
                "encoding-type is empty",
                "test_bucket_listv2_continuationtoken_empty",
                "continuation-token is malformed",
            ),
            "status 200, not 400",
        )
    ),
    # Of ranges that S3 ignores, it serves what it can make of them.
    **_with_heads(
        {
            "range bytes=1-0 is ignored": "status 416 InvalidRange, not 200",
            "range bytes=-1- is ignored": "status 206, not 200",
            "range bytes=0--1 is ignored": "status 416 InvalidRange, not 200",
            "range bytes=0-1,3-4,7-9 is ignored": "status 206, not 200",
            "range 0-1 is ignored": "Content-Range: 'bytes 0-9/10', not None",
            "range bytes=- is ignored": "status 206, not 200",
            "range bytes=-0": "status 206, not 416",
            "range bytes=-1 of nothing": "status 416 InvalidRange, not 200",
        }
    ),
    # This version does not know partNumber.
    **_with_heads(
        {
            "part 1": "status 200, not 206",
            "test_non_multipart_get_part": "status 200, not 416",
            "part and range": "status 206, not 400",
            **dict.fromkeys(("part 0", "part 10001", "part a"), "status 200, not 400"),
        }
    ),
    **_with_heads(
        {
            "If-Modified-Since in the future is ignored": "status 304, not 200",
            "identifiers of the request": "x-amz-id-2: None, not .+",
        }
    ),
    **_alone(
        {
            "test_bucket_get_location": "Content-Type: None, not application/xml.*",
            "authorization without a signature": (
                "code InvalidArgument, not AuthorizationHeaderMalformed"
            ),
            "test_object_raw_get_x_amz_expires_out_max_range": "status 403 AccessDenied, not 400",
            "test_object_raw_get_x_amz_expires_out_positive_range": (
                "status 403 AccessDenied, not 400"
            ),
            "presigned without a parameter": "status 403 AccessDenied, not 400",
            "presigned and signed": "status 200, not 400",
            "the time in the Date header": "status 403 AccessDenied, not 200",
            "repeated headers, signed": "status 403 SignatureDoesNotMatch, not 200",
            "presigned in version 2 until 2147483648": "status 200, not 403",
            "presigned in version 2 without Signature": "status 400 InvalidArgument, not 403",
            "presigned in version 2 and in version 4": "status 403 AccessDenied, not 400",
            "a path with a broken escape": "status 403 SignatureDoesNotMatch, not 400",
        }
    ),
}

_RADOSGW_BEFORE_18 = {
    **_RADOSGW,
    "prefix, delimiter and start-after are encoded": [
        "page 1: Delimiter ' ', not '%20'",
        _START_AFTER,
    ],
    # 304 is without an ETag.
    **_with_heads(
        dict.fromkeys(
            (
                "test_get_object_ifnonematch_good",
                "test_get_object_ifmodifiedsince_failed",
                "If-None-Match is the third",
                "If-None-Match rules out If-Modified-Since that holds",
                "If-None-Match without quotes",
                "If-None-Match before a range",
            ),
            "ETag: None, not '{etag}'",
        )
    ),
}

_SWIFT: dict[str, list[str]] = {
    **_BUCKETS,
    **_alone(
        {
            "test_bucket_listv2_both_continuationtoken_startafter": (
                "page 2: StartAfter 'four/bar', not None"
            ),
            "test_bucket_listv2_continuationtoken_empty": "status 200, not 400",
            "max-keys above 1000 gives 1000": "page 1: MaxKeys '2000', not '1000'",
            "a marker inside a group skips it": (
                "page 1: prefixes ['groups/folder/aSubfolder/'], not []"
            ),
            # Served in several parts. HeadObject ignores it as S3 does.
            "range bytes=0-1,3-4,7-9 is ignored": "status 206, not 200",
            "head range bytes=-1 of nothing": "status 206, not 200",
            "head If-None-Match before a range": "status 416, not 304",
        }
    ),
    # If-None-Match goes first, and no precondition rules another out.
    **_with_heads(
        {
            "of all preconditions If-Match is the first": "status 304, not 412",
            "If-Unmodified-Since is the second": "status 304, not 412",
            "If-Match rules out If-Unmodified-Since": "status 412 PreconditionFailed, not 200",
            "If-None-Match rules out If-Modified-Since that does not": "status 304, not 200",
            "If-Modified-Since in the future is ignored": "status 304, not 200",
        }
    ),
    # A user it does not know is to it one with a wrong secret.
    **_alone(
        dict.fromkeys(
            ("test_list_buckets_invalid_auth", "object with an unknown key"),
            "code SignatureDoesNotMatch, not InvalidAccessKeyId",
        )
    ),
    # What is not signed is left to Swift's own API, which takes the bucket for an account.
    **_alone(
        {
            "test_bucket_list_objects_anonymous_fail": "status 412, not 403",
            "test_bucket_listv2_objects_anonymous_fail": "status 412, not 403",
            "object for nobody": "status 400, not 403",
            "missing object for nobody": "status 400, not 403",
            "no such bucket for nobody": "status 412, not 404",
            "no object in no such bucket for nobody": "status 400, not 404",
            "presigned in version 2 without AWSAccessKeyId": "status 400, not 403",
        }
    ),
    **_alone(
        {
            "authorization that is none": "status 403 AccessDenied, not 400",
            "authorization without a signature": "status 403 RequestTimeTooSkewed, not 400",
            "presigned without a parameter": "status 403 AccessDenied, not 400",
            "presigned and signed": "status 403 SignatureDoesNotMatch, not 400",
            "presigned in version 2 and in version 4": "status 200, not 400",
            "a path with a broken escape": "status 403 SignatureDoesNotMatch, not 400",
        }
    ),
}


@cache
def deviations(server: str) -> Mapping[str, list[str]]:
    """What is known of "swift", or of "radosgw" in the release that is here: 16 or 18, on Debian 12
    or 13.
    """
    if server == "swift":
        return _SWIFT
    version = subprocess.run(["radosgw", "--version"], check=True, capture_output=True, text=True)
    release = int(version.stdout.split()[2].partition(".")[0])
    return _RADOSGW if release >= 18 else _RADOSGW_BEFORE_18
