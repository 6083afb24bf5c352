"""Whether an object in S3 is an image on disk, by the answer to HEAD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from s3archivefs_lambda.store.superblock_metadata import (
    SUPERBLOCK_METADATA,
    superblock_in,
    user_metadata,
)
from s3archivefs_lambda.upload.errors import OtherObjectError, UploadError

if TYPE_CHECKING:
    from s3archivefs_lambda.upload.image_parts import ImageParts
    from s3archivefs_lambda.upload.upload_target import UploadTarget

__all__ = ["is_image", "require_image"]


def is_image(
    target: UploadTarget,
    head: Any,  # noqa: ANN401 -- S3's answer
    image: ImageParts,
    storage_class: str,
) -> bool:
    """Return whether the object is the image, in the storage class if one is named.

    Raises OtherObjectError if all but the ETag agrees and encryption makes the ETag no MD5.
    """
    is_alike = (
        head["ContentLength"] == image.size
        and _has_superblock(head, image)
        and storage_class in {"", head.get("StorageClass", "STANDARD")}
    )
    if is_alike and not _has_md5_etag(head):
        raise OtherObjectError(
            f"{target} has this image's length and superblock, but encrypted as it is, S3 does not "
            "tell whether it is this image"
        )
    return is_alike and head["ETag"].strip('"') == image.etag


def require_image(target: UploadTarget, head: Any, image: ImageParts) -> None:  # noqa: ANN401 -- S3's answer
    """Raise UploadError unless the object has the image's length and superblock.

    S3 has checked the content of each part by its MD5.
    """
    if head["ContentLength"] != image.size:
        raise UploadError(
            f"{target} has {head['ContentLength']} bytes, the image {image.size}: "
            "it was replaced meanwhile; look who else writes to it"
        )
    if not _has_superblock(head, image):
        raise OtherObjectError(
            f"{target} has not this image's user metadata {SUPERBLOCK_METADATA}: it was replaced "
            "meanwhile, another program had begun the upload, or the store keeps no metadata"
        )


def _has_md5_etag(head: Any) -> bool:  # noqa: ANN401 -- S3's answer
    is_kms = head.get("ServerSideEncryption", "").startswith("aws:kms")
    return not is_kms and "SSECustomerAlgorithm" not in head


def _has_superblock(head: Any, image: ImageParts) -> bool:  # noqa: ANN401 -- S3's answer
    return superblock_in(user_metadata(head)) == image.superblock
