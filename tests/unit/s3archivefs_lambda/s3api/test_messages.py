"""Requests, responses and errors of S3."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from s3archivefs_lambda.s3api.errors import invalid_argument, no_such_key
from s3archivefs_lambda.s3api.messages import S3Response, query_parameters, xml_response
from tests.support.aws.sdk import parsed_by_botocore

if TYPE_CHECKING:
    from collections.abc import Iterator

# ---- Queries -------------------------------------------------------------------------------------


def test_of_a_repeated_parameter_the_first_counts() -> None:
    assert query_parameters([("a", "1"), ("b", ""), ("a", "2"), ("b", "3")]) == {"a": "1", "b": ""}


# ---- Errors --------------------------------------------------------------------------------------


def elements(document: bytes) -> dict[str, str]:
    root = ET.fromstring(document)  # noqa: S314 -- made by the code under test
    assert root.tag == "Error"
    return {child.tag: child.text or "" for child in root}


def test_an_error_is_xml_with_the_elements_of_s3() -> None:
    document = no_such_key("a/b").to_xml("REQUEST", "HOST")
    assert document.startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>NoSuchKey</Code>'
    )
    assert elements(document) == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "Key": "a/b",
        "RequestId": "REQUEST",
        "HostId": "HOST",
    }


def test_an_invalid_argument_names_the_argument_and_its_value() -> None:
    error = invalid_argument("no", "max-keys", "<&>")
    assert error.status == 400
    told = elements(error.to_xml("R"))
    assert (told["ArgumentName"], told["ArgumentValue"]) == ("max-keys", "<&>")


@given(st.text())
@example("\x00\x0b\x1f\ud800\udcff\ufffe\uffff")
@example("]]>&amp;<x>\r\n\t\u0085\u2028")
def test_any_text_makes_a_well_formed_error_that_keeps_what_xml_can_hold(key: str) -> None:
    def is_character(code: int) -> bool:  # XML 1.0, section 2.2
        return (
            code in {0x9, 0xA, 0xD}
            or 0x20 <= code <= 0xD7FF
            or 0xE000 <= code <= 0xFFFD
            or code >= 0x10000
        )

    expected = "".join(letter if is_character(ord(letter)) else "\ufffd" for letter in key)
    assert elements(no_such_key(key).to_xml("R"))["Key"] == expected


def test_an_sdk_reads_the_error() -> None:
    told = parsed_by_botocore("GetObject", 404, no_such_key("k").to_xml("R", "H"))["Error"]
    assert (told["Code"], told["Key"]) == ("NoSuchKey", "k")
    assert told["Message"] == "The specified key does not exist."


# ---- Responses -----------------------------------------------------------------------------------


def test_a_document_is_a_response_with_its_length() -> None:
    response = xml_response(b"<x/>")
    assert response.status == 200
    assert response.headers == {"Content-Type": "application/xml", "Content-Length": "4"}
    assert b"".join(response.body) == b"<x/>"
    response.close()


def test_closing_a_response_closes_its_body() -> None:
    closed = []

    def body() -> Iterator[bytes]:
        try:
            yield b"first"
            yield b"second"
        finally:
            closed.append(True)

    response = S3Response(status=200, headers={}, body=body())
    assert next(iter(response.body)) == b"first"
    response.close()
    assert closed == [True]
