"""What the AWS SDK makes of a document, without a connection."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.parsers
import botocore.session

if TYPE_CHECKING:
    from botocore.model import ServiceModel


@cache
def _model() -> ServiceModel:
    return botocore.session.Session().get_service_model("s3")


def parsed_by_botocore(operation: str, status: int, document: bytes) -> dict[str, Any]:
    """An answer to the operation, as botocore parses it."""
    shape = _model().operation_model(operation).output_shape
    assert shape is not None
    answer = {"status_code": status, "headers": {}, "body": document}
    parsed: dict[str, Any] = botocore.parsers.RestXMLParser().parse(answer, shape)
    return parsed


def operation_names() -> set[str]:
    """The operations that botocore knows of S3."""
    return set(_model().operation_names)
