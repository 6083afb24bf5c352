"""Parts of the page."""

from __future__ import annotations

import shlex
from html import unescape

import pytest

from s3archivefs_lambda.endpoint.browsing import views
from s3archivefs_lambda.endpoint.browsing.page_request import PageRequest
from s3archivefs_lambda.endpoint.browsing.s3_reader import Entry


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (1 << 62, "4.0 EiB"),
    ],
)
def test_a_size_is_told_in_units_and_in_bytes(count: int, told: str) -> None:
    assert views.size(count) == f'<span title="{count} bytes">{told}</span>'


def test_breadcrumbs_of_a_deep_place_begin_in_its_midst() -> None:
    levels = [f"d{number}" for number in range(100)]
    made = views.breadcrumbs(PageRequest(bucket="archive", key="/".join(levels) + "/"))
    assert made.count("<li") == 2 + 1 + 32
    assert f'<a href="/archive/{"/".join(levels[:68])}/"><bdi>\u2026</bdi></a>' in made
    assert made.endswith('<li aria-current="page"><bdi>d99</bdi></li></ol></nav>\n')


def test_a_name_that_no_browser_can_ask_for_is_no_link() -> None:
    request = PageRequest(bucket="archive", key="a/")
    made = views.table(
        request, [Entry("a/..", 1, "2026-01-02T03:04:05.000Z")], caption="", below="a/"
    )
    assert "href" not in made
    assert ">..</bdi>" in made


def test_a_command_names_the_endpoint_as_the_browser_does() -> None:
    headers = {"host": "archive.s3.example.com:8443"}
    request = PageRequest(bucket="archive", headers=headers, is_named_by_host=True, is_signed=True)
    made = views.command(request, "https", "s3", "cp", "s3://archive/a b", ".")
    command = made.partition("</code>")[0].rpartition(">")[2]
    assert shlex.split(unescape(command)) == [
        *("aws", "--endpoint-url", "https://s3.example.com:8443"),
        *("s3", "cp", "s3://archive/a b", "."),
    ]
