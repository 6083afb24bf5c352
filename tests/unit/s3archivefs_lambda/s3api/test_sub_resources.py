"""Sub-resources as boto3 reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.s3api.sub_resources import (
    BUCKET_OPERATIONS,
    OBJECT_OPERATIONS,
    bucket_document,
    no_such_upload,
    object_document,
)
from tests.support.aws.sdk import operation_names, parsed_by_botocore

HEAD = {"ETag": '"0123-1"', "Content-Length": "5"}


def of_bucket(operation: str, **query: str) -> dict[str, Any]:
    document = bucket_document(operation, "archive", query)
    return parsed_by_botocore(operation, 200, document)


def of_object(operation: str, head: Mapping[str, str] = HEAD, **headers: str) -> dict[str, Any]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    document = object_document(operation, given, head)
    return parsed_by_botocore(operation, 200, document)


def test_every_sub_resource_has_its_name_at_s3() -> None:
    assert {*BUCKET_OPERATIONS.values(), *OBJECT_OPERATIONS.values()} <= operation_names()


def test_a_bucket_has_no_versions_and_its_owner_pays() -> None:
    assert "Status" not in of_bucket("GetBucketVersioning")
    assert "LoggingEnabled" not in of_bucket("GetBucketLogging")
    assert "Status" not in of_bucket("GetBucketAccelerateConfiguration")
    assert "QueueConfigurations" not in of_bucket("GetBucketNotificationConfiguration")
    assert of_bucket("GetBucketRequestPayment")["Payer"] == "BucketOwner"


@pytest.mark.parametrize("operation", ["GetBucketAcl", "GetObjectAcl"])
def test_the_owner_alone_has_full_control(operation: str) -> None:
    acl = (of_bucket if operation == "GetBucketAcl" else of_object)(operation)
    (grant,) = acl["Grants"]
    assert grant["Permission"] == "FULL_CONTROL"
    assert grant["Grantee"]["ID"] == acl["Owner"]["ID"] == "s3archivefs"
    assert grant["Grantee"]["Type"] == "CanonicalUser"


def test_no_upload_is_under_way() -> None:
    uploads = of_bucket("ListMultipartUploads", prefix="a&b", delimiter="/")
    assert (uploads["Bucket"], uploads["Prefix"], uploads["Delimiter"]) == ("archive", "a&b", "/")
    assert (uploads["IsTruncated"], uploads["MaxUploads"]) == (False, 1000)
    assert "Uploads" not in uploads


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("GetBucketPolicy", "NoSuchBucketPolicy"),
        ("GetBucketPolicyStatus", "NoSuchBucketPolicy"),
        ("GetBucketCors", "NoSuchCORSConfiguration"),
        ("GetBucketEncryption", "ServerSideEncryptionConfigurationNotFoundError"),
        ("GetObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"),
        ("GetBucketTagging", "NoSuchTagSet"),
        ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
        ("GetBucketWebsite", "NoSuchWebsiteConfiguration"),
        ("GetBucketReplication", "ReplicationConfigurationNotFoundError"),
        ("GetBucketOwnershipControls", "OwnershipControlsNotFoundError"),
        ("GetPublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    ],
)
def test_what_a_plain_bucket_lacks_is_an_error_of_its_own(operation: str, code: str) -> None:
    with pytest.raises(S3Error) as raised:
        bucket_document(operation, "archive", {})
    assert (raised.value.status, raised.value.code) == (404, code)
    assert raised.value.extra == {"BucketName": "archive"}


def test_an_object_has_no_tags() -> None:
    assert of_object("GetObjectTagging")["TagSet"] == []


def test_attributes_are_those_that_are_asked_for_and_known() -> None:
    every = "ETag, Checksum,ObjectParts,StorageClass,ObjectSize"
    attributes = of_object("GetObjectAttributes", x_amz_object_attributes=every)
    attributes.pop("ResponseMetadata", None)
    assert attributes == {"ETag": "0123-1", "StorageClass": "STANDARD", "ObjectSize": 5}
    summed = {"x-amz-checksum-sha256": "abc=", "x-amz-checksum-type": "FULL_OBJECT"}
    checksum = of_object("GetObjectAttributes", HEAD | summed, x_amz_object_attributes="Checksum")[
        "Checksum"
    ]
    assert checksum == {"ChecksumSHA256": "abc=", "ChecksumType": "FULL_OBJECT"}
    size = of_object("GetObjectAttributes", x_amz_object_attributes="ObjectSize")
    assert (size["ObjectSize"], "ETag" in size) == (5, False)


@pytest.mark.parametrize(
    ("asked", "code"),
    [("", "InvalidRequest"), (" ,", "InvalidRequest"), ("Size", "InvalidArgument")],
)
def test_attributes_must_be_named(asked: str, code: str) -> None:
    with pytest.raises(S3Error) as raised:
        of_object("GetObjectAttributes", x_amz_object_attributes=asked)
    assert (raised.value.status, raised.value.code) == (400, code)


def test_an_object_is_not_locked_and_no_upload_of_it_exists() -> None:
    for operation in ("GetObjectRetention", "GetObjectLegalHold"):
        with pytest.raises(S3Error, match="Bucket is missing Object Lock Configuration"):
            of_object(operation)
    error = no_such_upload("upload")
    assert (error.status, error.code, error.extra) == (404, "NoSuchUpload", {"UploadId": "upload"})
