"""Headers of answers as parameters of WriteGetObjectResponse, held against botocore's model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import botocore.session
import pytest

from s3archivefs_lambda.object_lambda.header_parameters import header_parameters
from tests.support.aws.recording_function import input_shape

OTHERWISE_WRITTEN = {
    *("RequestRoute", "RequestToken", "Body", "StatusCode", "ErrorCode", "ErrorMessage"),
    "Metadata",
}
LEFT_OUT = {
    "RequestCharged",  # of the request to the store
    *("SSECustomerAlgorithm", "SSECustomerKeyMD5"),  # keys of customers are not passed on
    # Not known to boto3 1.36.
    *("ChecksumSHA512", "ChecksumMD5", "ChecksumXXHASH64", "ChecksumXXHASH3", "ChecksumXXHASH128"),
}
VALUES: dict[str, tuple[str, object]] = {
    "string": ("text", "text"),
    "integer": ("3", 3),
    "long": ("3", 3),
    "boolean": ("true", True),
}
TIMES: dict[str | None, str] = {
    None: "Wed, 21 Oct 2015 07:28:00 GMT",
    "iso8601": "2015-10-21T07:28:00.000Z",
}
TIME = datetime(2015, 10, 21, 7, 28, tzinfo=UTC)
CHECKSUMS = {"ChecksumCRC32", "ChecksumCRC32C", "ChecksumCRC64NVME", "ChecksumSHA1"}
"""What is left out beside a SHA-256."""
SPELLED = {"accept-ranges": "Accept-Ranges"}
"""Headers by their names in answers, where the model's differ."""


def headers_of_model() -> dict[str, tuple[str, str, object]]:
    """Header, text and value of each parameter that is a header of S3's GetObject."""
    model = botocore.session.Session().get_service_model("s3")
    answer = cast("Any", model.operation_model("GetObject").output_shape).members
    found = {}
    for name in cast("Any", input_shape()).members.keys() & answer.keys() - OTHERWISE_WRITTEN:
        shape = answer[name]
        header = shape.serialization["name"]
        text, value = (
            (TIMES[shape.serialization.get("timestampFormat")], TIME)
            if shape.type_name == "timestamp"
            else VALUES[shape.type_name]
        )
        found[name] = (SPELLED.get(header, header), text, value)
    return found


def test_each_header_of_get_object_has_its_parameter() -> None:
    for name, (header, text, value) in headers_of_model().items():
        expected = {} if name in LEFT_OUT else {name: value}
        assert header_parameters(200, {header: text}) == expected


def test_parameters_are_those_of_the_model() -> None:
    told = {header: text for header, text, _ in headers_of_model().values()}
    written = header_parameters(200, told).keys()
    assert written < cast("Any", input_shape()).members.keys()
    missing = headers_of_model().keys() - written
    assert missing == LEFT_OUT | CHECKSUMS


def test_one_checksum_of_a_whole_body_is_written() -> None:
    every = {
        header: "sum" for name, (header, _, _) in headers_of_model().items() if "Checksum" in name
    }
    assert header_parameters(200, every) == {"ChecksumSHA256": "sum"}
    assert header_parameters(206, every) == {}
    of_parts = every | {"x-amz-checksum-sha256": "sum-3", "x-amz-checksum-type": "COMPOSITE"}
    assert header_parameters(200, of_parts) == {"ChecksumSHA1": "sum"}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Content-Length", "many"),
        ("Expires", "0"),
        ("Last-Modified", "yesterday"),
        ("x-amz-missing-meta", "-1"),
        ("x-amz-mp-parts-count", "\u0663"),
        ("x-amz-object-lock-retain-until-date", "tomorrow"),
        ("x-amz-server-side-encryption-bucket-key-enabled", ""),
    ],
)
def test_a_value_of_another_type_is_left_out(header: str, value: str) -> None:
    assert header_parameters(200, {header: value}) == {}


def test_text_is_what_botocore_signs_as_it_sends_it() -> None:
    headers = {
        "Content-Disposition": 'attachment; filename="caf\u00e9.txt"',
        "Cache-Control": "max-age=1,\r\npublic  ,x",
        "x-amz-meta-name": "J\u00fcrgen",
        "x-amz-meta-table": "a\tb",
    }
    parameters = header_parameters(200, headers)
    assert parameters == {
        "ContentDisposition": 'attachment; filename="caf?.txt"',
        "CacheControl": "max-age=1, public  ,x",
        "Metadata": {"name": "J?rgen", "table": "a b"},
    }


def test_metadata_is_written_by_its_names() -> None:
    headers = {"x-amz-meta-a": "1", "x-amz-meta-b-c": "2", "x-amz-other": "3", "Server": "4"}
    assert header_parameters(200, headers) == {"Metadata": {"a": "1", "b-c": "2"}}
