"""The read-only tests of ceph/s3-tests by name, and why some of them do not apply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def _named(stem: str, endings: str) -> Iterator[str]:
    return (stem + ending for ending in endings.split())


_IN_BOTH_VERSIONS = (
    "many delimiter_basic delimiter_prefix delimiter_prefix_ends_with_delimiter delimiter_alt"
    " delimiter_prefix_underscore delimiter_percentage delimiter_whitespace delimiter_dot"
    " delimiter_unreadable delimiter_empty delimiter_none delimiter_not_exist encoding_basic"
    " prefix_basic prefix_alt prefix_empty prefix_none prefix_not_exist prefix_unreadable"
    " prefix_delimiter_basic prefix_delimiter_alt prefix_delimiter_prefix_not_exist"
    " prefix_delimiter_delimiter_not_exist prefix_delimiter_prefix_delimiter_not_exist"
    " maxkeys_one maxkeys_zero maxkeys_none unordered objects_anonymous objects_anonymous_fail"
)

READ_ONLY = frozenset(
    (
        *_named("test_bucket_list_", _IN_BOTH_VERSIONS),
        *_named("test_bucket_listv2_", _IN_BOTH_VERSIONS),
        *_named(
            "test_bucket_list_",
            "empty distinct maxkeys_invalid marker_none marker_empty marker_unreadable"
            " marker_not_in_list marker_after_list delimiter_not_skip_special return_data"
            " special_prefix",
        ),
        *_named(
            "test_bucket_listv2_",
            "fetchowner_notempty fetchowner_defaultempty fetchowner_empty continuationtoken_empty"
            " continuationtoken both_continuationtoken_startafter startafter_unreadable"
            " startafter_not_in_list startafter_after_list",
        ),
        "test_basic_key_count",
        *_named(
            "test_ranged_request_",
            "response_code skip_leading_bytes_response_code return_trailing_bytes_response_code"
            " invalid_range empty_object",
        ),
        "test_ranged_big_request_response_code",
        *_named(
            "test_get_object_if",
            "match_good match_failed nonematch_good nonematch_failed modifiedsince_good"
            " modifiedsince_failed unmodifiedsince_good unmodifiedsince_failed",
        ),
        "test_object_head_zero_bytes",
        "test_bucket_head",
        "test_bucket_head_notexist",
        "test_bucket_head_extended",
        "test_non_multipart_get_part",
        *_named(
            "test_object_raw_",
            "get get_bucket_gone get_object_gone get_bucket_acl get_object_acl authenticated"
            " authenticated_bucket_acl authenticated_object_acl authenticated_bucket_gone"
            " authenticated_object_gone response_headers",
        ),
        *_named(
            "test_object_raw_get_x_amz_expires_",
            "not_expired not_expired_tenant out_range_zero out_max_range out_positive_range",
        ),
        *_named("test_list_buckets_", "invalid_auth bad_auth anonymous"),
        "test_bucket_notexist",
        "test_bucketv2_notexist",
        "test_object_read_not_exist",
        "test_object_requestid_matches_header_on_error",
        "test_object_read_unreadable",
        "test_bucket_get_location",
    )
)

_ACL = "there are no access control lists: who may read one object may read all"
_UNORDERED = "`allow-unordered` is an extension of Ceph; the test fails on AWS"
_SLASH = "its key ends in a slash, as no name of a file does"

NOT_APPLICABLE = {
    "test_bucket_head_extended": "headers that only Ceph has; the test fails on AWS",
    "test_bucket_list_delimiter_prefix_ends_with_delimiter": _SLASH,
    "test_bucket_list_distinct": "there is one bucket",
    "test_bucket_list_unordered": _UNORDERED,
    "test_bucket_listv2_delimiter_prefix_ends_with_delimiter": _SLASH,
    "test_bucket_listv2_unordered": _UNORDERED,
    "test_list_buckets_anonymous": "it expects an empty list; the test fails on AWS",
    "test_object_raw_authenticated_bucket_acl": _ACL,
    "test_object_raw_authenticated_object_acl": _ACL,
    "test_object_raw_get_bucket_acl": _ACL,
    "test_object_raw_get_object_acl": _ACL,
    "test_object_raw_get_x_amz_expires_not_expired_tenant": "tenants are Ceph's",
    "test_object_read_unreadable": (
        "S3 refuses keys that are not UTF-8; here they name members, and one that is not there is"
        " 404 NoSuchKey"
    ),
}
"""Why, by name."""
