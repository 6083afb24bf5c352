"""The headers of an archive's member as an S3 object."""

from __future__ import annotations

import mimetypes
import re
from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING

from s3archivefs import SquashfsError
from s3archivefs_lambda.archives.archives import member_etags
from s3archivefs_lambda.s3api.dates import http_date
from s3archivefs_lambda.s3api.errors import invalid_argument, invalid_request

if TYPE_CHECKING:
    from s3archivefs import SquashFS, Stat
    from s3archivefs_lambda.s3api.messages import S3Request

__all__ = ["checksum_headers", "member_headers", "overrides"]

_KEPT_PATH = 256
"""Characters of a path whose headers are kept: 8,192 of them take 10 MB."""
_OVERRIDES = {
    "response-content-type": "Content-Type",
    "response-content-language": "Content-Language",
    "response-expires": "Expires",
    "response-cache-control": "Cache-Control",
    "response-content-disposition": "Content-Disposition",
    "response-content-encoding": "Content-Encoding",
}
"""Query parameters of GetObject and HeadObject that set a header of the answer."""

_TYPES = mimetypes.MimeTypes()  # without the machine's own tables: the same answer everywhere
_ENCODED_TYPES = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
}


def member_headers(identity: str, path: str, stat: Stat) -> tuple[str, dict[str, str]]:
    """Return the ETag and the headers of a member of the archive of that identity.

    They have POSIX attributes as AWS DataSync and FSx write them.
    """
    known = _member_headers if len(path) <= _KEPT_PATH else _member_headers.__wrapped__
    etag, headers = known(identity, path, stat)
    return etag, headers.copy()


@lru_cache(maxsize=8192)
def _member_headers(identity: str, path: str, stat: Stat) -> tuple[str, dict[str, str]]:
    (etag,) = member_etags(identity, [stat])
    return etag, {
        "Accept-Ranges": "bytes",
        "Content-Type": _content_type(path),
        "ETag": etag,
        "Last-Modified": http_date(stat.mtime),
        "x-amz-meta-file-owner": str(stat.uid),
        "x-amz-meta-file-group": str(stat.gid),
        "x-amz-meta-file-permissions": f"{stat.mode:07o}",
        "x-amz-meta-file-mtime": f"{stat.mtime * 1_000_000_000}ns",
    }


def _content_type(path: str) -> str:
    kind, encoding = _TYPES.guess_type(path.rpartition("/")[2])
    if encoding is not None:
        kind = _ENCODED_TYPES.get(encoding)
    return kind or "binary/octet-stream"


def checksum_headers(image: SquashFS, stat: Stat, request: S3Request) -> dict[str, str]:
    """Return the headers of a whole object's checksum, if asked for and known.

    It costs nothing where the image has no extended attributes. One that cannot be decoded is as
    none: the object can be read all the same.
    """
    if request.headers.get("x-amz-checksum-mode", "").upper() != "ENABLED":
        return {}
    try:
        checksum = image.checksum_of_node(stat.reference)
    except SquashfsError:
        return {}
    if checksum is None:
        return {}
    encoded = b64encode(checksum).decode()
    return {"x-amz-checksum-sha256": encoded, "x-amz-checksum-type": "FULL_OBJECT"}


def overrides(request: S3Request) -> dict[str, str]:
    """Return the headers that the query sets.

    Raises S3Error InvalidRequest for a request that nobody signed: a link must not make a browser
    take an object for something else. InvalidArgument for a value that no header can hold.
    """
    given = {name: request.query[name] for name in _OVERRIDES if name in request.query}
    if given and request.is_anonymous:
        message = "Request specific response headers cannot be used for anonymous GET requests."
        raise invalid_request(message)
    for name, value in given.items():
        if not re.fullmatch(r"[\t\x20-\x7e\xa0-\xff]*", value):
            message = "Header value cannot be represented using ISO-8859-1."
            raise invalid_argument(message, name, value)
    return {_OVERRIDES[name]: value for name, value in given.items()}
