"""The events that S3 Object Lambda sends to a function, and the results that it takes as JSON.

Facts: the S3 user guide, "Event context format and usage" and "Working with HeadObject / GetObject
/ ListObjects requests in Lambda".
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ACCOUNT = "111122223333"
REGION = "us-east-1"
ACCESS_POINT_HOST = f"object-lambda-{ACCOUNT}.s3-object-lambda.{REGION}.amazonaws.com"
SUPPORTING_HOST = f"supporting-{ACCOUNT}.s3-accesspoint.{REGION}.amazonaws.com"

# Caller headers that S3 signs into inputS3Url when they are present, "host" apart.
SIGNED_HEADERS = ("x-amz-checksum-mode", "x-amz-expected-bucket-owner", "x-amz-request-payer")
# Authorization headers are not shown to the function, and in AWS's examples of signed requests the
# date that was signed is missing as well.
_HIDDEN_HEADERS = {"authorization", "x-amz-date", "x-amz-security-token"}


class Operation(Enum):
    """What the caller asks; the value is the member of the event that holds the context."""

    GET_OBJECT = "getObjectContext"
    HEAD_OBJECT = "headObjectContext"
    LIST_OBJECTS = "listObjectsContext"
    LIST_OBJECTS_V2 = "listObjectsV2Context"


@dataclass(frozen=True, slots=True)
class CallerRequest:
    """A request as it came over the wire."""

    operation: Operation
    key: str
    """Percent-encoded as the caller sent it; empty for listings."""
    query: str
    """Likewise, without the question mark."""
    headers: Sequence[tuple[str, str]]


class Supporting(Protocol):
    """The supporting access point; `SupportingPoint` is one."""

    @property
    def name(self) -> str:
        """What a function addresses it by."""

    def presigned(self, request: CallerRequest, query: Iterable[str]) -> str:
        """The URL at which it answers the request to the caller."""


def event_for(
    request: CallerRequest,
    *,
    route: str,
    token: str,
    payload: str,
    supporting: Supporting | None = None,
) -> dict[str, Any]:
    """The event for `request`; `route` and `token` reach the function for GetObject only."""
    listing = request.operation in {Operation.LIST_OBJECTS, Operation.LIST_OBJECTS_V2}
    query = [part for part in request.query.split("&") if part and not _is_authorization(part)]
    # Of an object's parameters only the version is presigned: no range, part or override.
    presigned = [part for part in query if listing or part.startswith("versionId=")]
    presign = _presigned_url if supporting is None else supporting.presigned
    context = {"inputS3Url": presign(request, presigned)}
    if request.operation is Operation.GET_OBJECT:
        context |= {"outputRoute": route, "outputToken": token}
    # The documented examples of listings have no query here, so a function must not count on one.
    shown = "" if listing or not query else "?" + unquote("&".join(query))
    return {
        "xAmzRequestId": str(uuid.uuid4()),
        request.operation.value: context,
        "configuration": {
            "accessPointArn": f"arn:aws:s3-object-lambda:{REGION}:{ACCOUNT}:accesspoint/olap",
            "supportingAccessPointArn": supporting.name
            if supporting is not None
            else f"arn:aws:s3:{REGION}:{ACCOUNT}:accesspoint/supporting",
            "payload": payload,
        },
        "userRequest": {
            "url": f"https://{ACCESS_POINT_HOST}/{unquote(request.key)}{shown}",
            "headers": _shown_headers(request.headers),
        },
        "userIdentity": {
            "type": "IAMUser",
            "principalId": "EXAMPLEPRINCIPAL",
            "arn": f"arn:aws:iam::{ACCOUNT}:user/caller",
            "accountId": ACCOUNT,
            "accessKeyId": "EXAMPLEACCESSKEY",
            "userName": "caller",
        },
        "protocolVersion": "1.00",
    }


def invalid_result(operation: Operation, result: object) -> str:
    """What is wrong with the function's result for a HeadObject or a listing, or nothing."""
    if not isinstance(result, dict) or not isinstance(result.get("statusCode"), int):
        return "The result is not an object with a numeric statusCode."
    if result["statusCode"] >= 400:
        return ""
    if operation is Operation.HEAD_OBJECT:
        length = result.get("headers", {}).get("Content-Length")
        return "" if str(length).isdecimal() else "The headers have no numeric Content-Length."
    if not isinstance(result.get("listResultXml"), str):
        return "The result has no listResultXml; listBucketResult is not known here."
    return ""


def header_value(value: object) -> str:
    """A header's value in the JSON of a result, as it goes over the wire."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _presigned_url(request: CallerRequest, query: Iterable[str]) -> str:
    """A URL of the supporting access point, signed in form only."""
    present = {name.lower() for name, _ in request.headers}
    signed = ["host", *(name for name in SIGNED_HEADERS if name in present)]
    credential = f"EXAMPLEACCESSKEY%2F20260102%2F{REGION}%2Fs3%2Faws4_request"
    parameters = [
        *query,
        "X-Amz-Security-Token=EXAMPLE%2Ftoken%3D",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        "X-Amz-Date=20260102T030405Z",
        f"X-Amz-SignedHeaders={'%3B'.join(signed)}",
        "X-Amz-Expires=61",
        f"X-Amz-Credential={credential}",
        f"X-Amz-Signature={'0' * 64}",
    ]
    return f"https://{SUPPORTING_HOST}/{request.key}?{'&'.join(parameters)}"


def _is_authorization(parameter: str) -> bool:
    return parameter.lower().startswith("x-amz-") or parameter.startswith(
        ("AWSAccessKeyId=", "Signature=", "Expires=")
    )


def _shown_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """As a map: names in the caller's case, repeated ones joined by commas, none of signatures."""
    shown: dict[str, str] = {}
    first_names: dict[str, str] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in _HIDDEN_HEADERS:
            continue
        value_shown = ACCESS_POINT_HOST if lower == "host" else value
        first_name = first_names.setdefault(lower, name)
        shown[first_name] = (
            f"{shown[first_name]},{value_shown}" if first_name in shown else value_shown
        )
    return shown
