"""S3's errors that more than one operation or transport answers with: one constructor for each."""

from __future__ import annotations

from s3archivefs_lambda.s3api.key_space import MAX_KEY_BYTES
from s3archivefs_lambda.s3api.messages import S3Error

__all__ = [
    "access_denied",
    "internal_error",
    "invalid_argument",
    "invalid_request",
    "key_too_long",
    "method_not_allowed",
    "no_such_bucket",
    "no_such_key",
    "not_implemented",
    "service_unavailable",
    "slow_down",
]


def access_denied() -> S3Error:
    """Return 403 AccessDenied."""
    return S3Error("AccessDenied", 403, "Access Denied")


def internal_error(
    message: str = "We encountered an internal error. Please try again.",
) -> S3Error:
    """Return 500 InternalError."""
    return S3Error("InternalError", 500, message)


def invalid_argument(message: str, name: str, value: str) -> S3Error:
    """Return 400 InvalidArgument about one parameter."""
    extra = {"ArgumentName": name, "ArgumentValue": value}
    return S3Error("InvalidArgument", 400, message, extra=extra)


def invalid_request(message: str) -> S3Error:
    """Return 400 InvalidRequest."""
    return S3Error("InvalidRequest", 400, message)


def key_too_long(size: int) -> S3Error:
    """Return 400 KeyTooLongError for a key of `size` bytes."""
    extra = {"Size": str(size), "MaxSizeAllowed": str(MAX_KEY_BYTES)}
    return S3Error("KeyTooLongError", 400, "Your key is too long", extra=extra)


def method_not_allowed(method: str, *, allowed: str) -> S3Error:
    """Return 405 MethodNotAllowed, with the methods that are allowed."""
    return S3Error(
        "MethodNotAllowed",
        405,
        "The specified method is not allowed against this resource.",
        headers={"Allow": allowed},
        extra={"Method": method},
    )


def no_such_bucket(bucket: str) -> S3Error:
    """Return 404 NoSuchBucket."""
    message = "The specified bucket does not exist"
    return S3Error("NoSuchBucket", 404, message, extra={"BucketName": bucket})


def no_such_key(key: str) -> S3Error:
    """Return 404 NoSuchKey."""
    return S3Error("NoSuchKey", 404, "The specified key does not exist.", extra={"Key": key})


def not_implemented(parameter: str) -> S3Error:
    """Return 501 NotImplemented for a query parameter that asks for another operation."""
    message = "A parameter you provided implies functionality that is not implemented"
    return S3Error("NotImplemented", 501, message, extra={"Parameter": parameter})


def service_unavailable(message: str) -> S3Error:
    """Return 503 ServiceUnavailable."""
    return S3Error("ServiceUnavailable", 503, message)


def slow_down() -> S3Error:
    """Return 503 SlowDown, upon which clients wait before they try again."""
    return S3Error("SlowDown", 503, "Please reduce your request rate.")
