"""Sub-resources of buckets and objects, as Amazon S3 answers them for a plain bucket.

A plain bucket has no policy, no versions, no tags, and one owner. Each sub-resource is a document
that says so, or an error of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs_lambda.s3api.errors import invalid_argument, invalid_request
from s3archivefs_lambda.s3api.messages import S3Error
from s3archivefs_lambda.s3api.xml import OWNER_ID, S3_NAMESPACE, XML_HEAD, xml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "BUCKET_OPERATIONS",
    "OBJECT_OPERATIONS",
    "bucket_document",
    "no_such_upload",
    "object_document",
]

_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"

BUCKET_OPERATIONS = {
    "accelerate": "GetBucketAccelerateConfiguration",
    "acl": "GetBucketAcl",
    "cors": "GetBucketCors",
    "encryption": "GetBucketEncryption",
    "lifecycle": "GetBucketLifecycleConfiguration",
    "logging": "GetBucketLogging",
    "notification": "GetBucketNotificationConfiguration",
    "object-lock": "GetObjectLockConfiguration",
    "ownershipControls": "GetBucketOwnershipControls",
    "policy": "GetBucketPolicy",
    "policyStatus": "GetBucketPolicyStatus",
    "publicAccessBlock": "GetPublicAccessBlock",
    "replication": "GetBucketReplication",
    "requestPayment": "GetBucketRequestPayment",
    "tagging": "GetBucketTagging",
    "uploads": "ListMultipartUploads",
    "versioning": "GetBucketVersioning",
    "versions": "ListObjectVersions",
    "website": "GetBucketWebsite",
}
"""S3's names of what a query parameter asks of a bucket."""

OBJECT_OPERATIONS = {
    "acl": "GetObjectAcl",
    "attributes": "GetObjectAttributes",
    "legal-hold": "GetObjectLegalHold",
    "retention": "GetObjectRetention",
    "tagging": "GetObjectTagging",
    "uploadId": "ListParts",
}
"""S3's names of what a query parameter asks of an object."""

_CHECKSUMS = {
    "x-amz-checksum-crc32": "ChecksumCRC32",
    "x-amz-checksum-crc32c": "ChecksumCRC32C",
    "x-amz-checksum-crc64nvme": "ChecksumCRC64NVME",
    "x-amz-checksum-sha1": "ChecksumSHA1",
    "x-amz-checksum-sha256": "ChecksumSHA256",
    "x-amz-checksum-type": "ChecksumType",
}
"""Headers of HeadObject, and what they are called among the attributes."""

_MISSING = {
    "GetBucketCors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "GetBucketEncryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "GetBucketLifecycleConfiguration": (
        "NoSuchLifecycleConfiguration",
        "The lifecycle configuration does not exist",
    ),
    "GetObjectLockConfiguration": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    "GetBucketOwnershipControls": (
        "OwnershipControlsNotFoundError",
        "The bucket ownership controls were not found",
    ),
    "GetBucketPolicy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketPolicyStatus": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetPublicAccessBlock": (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    ),
    "GetBucketReplication": (
        "ReplicationConfigurationNotFoundError",
        "The replication configuration was not found",
    ),
    "GetBucketTagging": ("NoSuchTagSet", "The TagSet does not exist"),
    "GetBucketWebsite": (
        "NoSuchWebsiteConfiguration",
        "The specified bucket does not have a website configuration",
    ),
}
"""Code and message of the 404 for what a plain bucket does not have."""


def bucket_document(operation: str, bucket: str, query: Mapping[str, str]) -> bytes:
    """Return a bucket's sub-resource, UTF-8; raise S3Error for what a plain bucket lacks."""
    if operation in _MISSING:
        code, message = _MISSING[operation]
        raise S3Error(code, 404, message, extra={"BucketName": bucket})
    if operation == "ListMultipartUploads":
        return _uploads(bucket, query)
    return _BUCKET_DOCUMENTS[operation]


def no_such_upload(upload_id: str) -> S3Error:
    """Return 404 NoSuchUpload, the answer to ListParts, whether or not there is such an object."""
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may "
        "have been aborted or completed."
    )
    return S3Error("NoSuchUpload", 404, message, extra={"UploadId": upload_id})


def object_document(
    operation: str, request: Mapping[str, str], headers: Mapping[str, str]
) -> bytes:
    """Return an object's sub-resource, UTF-8.

    `request` are the request's headers, in lower case, and `headers` those of HeadObject. Raises
    S3Error for what an object of a plain bucket lacks, and for what is asked wrongly.
    """
    if operation == "GetObjectAttributes":
        return _attributes(request.get("x-amz-object-attributes", ""), headers)
    if operation in {"GetObjectLegalHold", "GetObjectRetention"}:
        raise invalid_request("Bucket is missing Object Lock Configuration")
    return _ACL if operation == "GetObjectAcl" else _document("Tagging", "<TagSet></TagSet>")


# ---- Documents -----------------------------------------------------------------------------------


def _document(name: str, content: str = "") -> bytes:
    return f'{XML_HEAD}<{name} xmlns="{S3_NAMESPACE}">{content}</{name}>'.encode()


_OWNER = f"<ID>{OWNER_ID}</ID>"
_ACL = _document(
    "AccessControlPolicy",
    f"<Owner>{_OWNER}</Owner><AccessControlList><Grant>"
    f'<Grantee xmlns:xsi="{_INSTANCE}" xsi:type="CanonicalUser">{_OWNER}</Grantee>'
    "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList>",
)
_BUCKET_DOCUMENTS = {
    "GetBucketAccelerateConfiguration": _document("AccelerateConfiguration"),
    "GetBucketAcl": _ACL,
    "GetBucketLogging": _document("BucketLoggingStatus"),
    "GetBucketNotificationConfiguration": _document("NotificationConfiguration"),
    "GetBucketRequestPayment": _document(
        "RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"
    ),
    "GetBucketVersioning": _document("VersioningConfiguration"),
}


def _uploads(bucket: str, query: Mapping[str, str]) -> bytes:
    """Return the list of a bucket's multipart uploads: there are none."""
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    content = (
        f"<Bucket>{xml_text(bucket)}</Bucket><KeyMarker/><UploadIdMarker/><NextKeyMarker/>"
        f"<NextUploadIdMarker/><Prefix>{xml_text(prefix)}</Prefix>"
    )
    if delimiter:
        content += f"<Delimiter>{xml_text(delimiter)}</Delimiter>"
    content += "<MaxUploads>1000</MaxUploads><IsTruncated>false</IsTruncated>"
    return _document("ListMultipartUploadsResult", content)


def _checksum(headers: Mapping[str, str]) -> str:
    checksums = "".join(
        f"<{element}>{xml_text(headers[header])}</{element}>"
        for header, element in _CHECKSUMS.items()
        if header in headers
    )
    return f"<Checksum>{checksums}</Checksum>" if checksums else ""


_ATTRIBUTES: dict[str, Callable[[Mapping[str, str]], str]] = {
    # As S3 orders them. S3 leaves out what an object does not have, and quotes no ETag here.
    "ETag": lambda headers: f"<ETag>{xml_text(headers['ETag'].strip(chr(34)))}</ETag>",
    "Checksum": _checksum,
    "ObjectParts": lambda _: "",
    "StorageClass": lambda headers: (
        f"<StorageClass>{xml_text(headers.get('x-amz-storage-class', 'STANDARD'))}</StorageClass>"
    ),
    "ObjectSize": lambda headers: f"<ObjectSize>{headers['Content-Length']}</ObjectSize>",
}


def _attributes(asked: str, headers: Mapping[str, str]) -> bytes:
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if not names:
        raise invalid_request(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is "
            "either missing or empty"
        )
    for name in names:
        if name not in _ATTRIBUTES:
            message = "Invalid attribute name specified."
            raise invalid_argument(message, "x-amz-object-attributes", name)
    content = "".join(write(headers) for name, write in _ATTRIBUTES.items() if name in names)
    return _document("GetObjectAttributesResponse", content)
