"""The endpoint's application, asked without a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias
from xml.etree import ElementTree as ET

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.messages import HttpApplication, HttpRequest
from tests.support.adapter.fake_operations import FakeOperations

CLIENT = "192.0.2.1"
Headers: TypeAlias = tuple[tuple[str, str], ...]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes

    @property
    def error(self) -> dict[str, str]:
        """The elements of the error document."""
        root = ET.fromstring(self.body)  # noqa: S314 -- our own
        assert root.tag == "Error"
        return {element.tag: element.text or "" for element in root}


def ask(
    operations: FakeOperations,
    target: str,
    method: str = "GET",
    *,
    verifier: Verifier | None = None,
    headers: Headers = (),
    **options: Any,  # noqa: ANN401 -- of make_app
) -> Answer:
    """One request straight to the application, without a server."""
    app = make_app({"archive": ServedBucket(operations)}, verifier=verifier, **options)
    return answer_of(app, target, method, headers)


def answer_of(
    app: HttpApplication, target: str, method: str = "GET", headers: Headers = ()
) -> Answer:
    """What an application answers."""
    request = HttpRequest(method=method, target=target, headers=headers, client=CLIENT)
    response = app(request).answer()
    try:
        content = b"".join(response.body)
    finally:
        response.body.close()
    return Answer(response.status, {k.lower(): v for k, v in response.headers}, content)
