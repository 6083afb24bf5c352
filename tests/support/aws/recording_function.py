"""The Object Lambda function in this process, with a client that remembers what it was given."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import botocore.session
from botocore.validate import ParamValidator

from s3archivefs_lambda.object_lambda.transport import ObjectLambda
from tests.support.adapter.local_archives import Page, parse_page
from tests.support.aws.object_lambda_events import (
    CallerRequest,
    Operation,
    event_for,
    invalid_result,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.model import Shape
    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.bucket.operations import S3Operations

ROUTE, TOKEN = "io-use1-001", "the token"


@cache
def input_shape() -> Shape:
    model = botocore.session.Session().get_service_model("s3")
    shape = model.operation_model("WriteGetObjectResponse").input_shape
    assert shape is not None
    return shape


class RecordingClient:
    """A client that takes what botocore's own model of WriteGetObjectResponse takes."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.closed = 0

    def close(self) -> None:
        self.closed += 1

    def write_get_object_response(self, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 -- botocore's
        report = ParamValidator().validate(parameters, input_shape())
        assert not report.has_errors(), report.generate_report()
        # The validator lets unknown names pass, boto3 does not.
        assert parameters.keys() <= cast("Any", input_shape()).members.keys()
        if self.error is not None:
            raise self.error
        body = parameters.get("Body")
        if body is not None:
            parameters["Body"] = b"".join(iter(lambda: body.read(16384), b""))
        self.written.append(parameters)
        return {}


class Function:
    """The function over some operations, with a client that remembers."""

    def __init__(self, operations: S3Operations, *, emf: bool = False) -> None:
        self.client = RecordingClient()
        self.clients = 0
        self.function = ObjectLambda(operations, self._make_client, emf=emf)

    def _make_client(self) -> S3Client:
        self.clients += 1
        return cast("S3Client", self.client)

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The result, which must be JSON."""
        result = self.function.handle(event)
        assert json.loads(json.dumps(result)) == result
        return result

    def get(self, key: str, query: str = "", **headers: str) -> dict[str, Any]:
        """What was written for a GetObject, without route and token."""
        return self.written(event(Operation.GET_OBJECT, key, query, **headers))

    def written(self, event: Mapping[str, Any]) -> dict[str, Any]:
        before = len(self.client.written)
        result = self.handle(event)
        (written,) = self.client.written[before:]
        assert (written.pop("RequestRoute"), written.pop("RequestToken")) == (ROUTE, TOKEN)
        assert result.keys() == {"statusCode"}  # S3 ignores it; whoever invokes by hand sees it
        return written

    def head(self, key: str, query: str = "", **headers: str) -> dict[str, Any]:
        result = self.handle(event(Operation.HEAD_OBJECT, key, query, **headers))
        assert invalid_result(Operation.HEAD_OBJECT, result) == ""
        assert self.client.written == []
        return result

    def list(self, query: str) -> dict[str, Any]:
        result = self.handle(event(Operation.LIST_OBJECTS_V2, "", f"list-type=2&{query}"))
        assert invalid_result(Operation.LIST_OBJECTS_V2, result) == ""
        assert self.client.written == []
        return result

    def page(self, query: str = "") -> Page:
        result = self.list(f"encoding-type=url&{query}")
        assert result.keys() == {"statusCode", "listResultXml"}
        assert result["statusCode"] == 200
        return parse_page(result["listResultXml"].encode())


def event(operation: Operation, key: str, query: str = "", **headers: str) -> dict[str, Any]:
    """The event that S3 makes of a request; in names of headers, `_` stands for `-`."""
    encoded = quote(key.encode("utf-8", "surrogateescape"), safe="/")
    lines = [(name.replace("_", "-"), value) for name, value in headers.items()]
    request = CallerRequest(operation, encoded, query, lines)
    return event_for(request, route=ROUTE, token=TOKEN, payload="")
