"""Every case of the table at every server that it concerns, and what holds of the table itself."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.s3api.dates import parse_http_date
from tests.parts.conformance.cases import Case, Scope, Server, error_elements
from tests.parts.conformance.ceph import NOT_APPLICABLE, READ_ONLY
from tests.parts.conformance.deviations import deviations
from tests.parts.conformance.keys import BUCKET, SETS
from tests.parts.conformance.listing_cases import ListingCase, read_listing
from tests.parts.conformance.table_listings import LISTINGS, REFUSED
from tests.parts.conformance.table_objects import OBJECTS
from tests.parts.conformance.table_requests import REQUESTS
from tests.parts.conformance.wire import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

CASES: tuple[Case | ListingCase, ...] = (*LISTINGS, *REFUSED, *OBJECTS, *REQUESTS)
OURS = {
    "endpoint": {Scope.ANY, Scope.SIGNED, Scope.OURS, Scope.ENDPOINT},
    "object_lambda": {Scope.ANY, Scope.OURS},
    "open_endpoint": {Scope.OPEN},
}
PASSED_THROUGH = {"passed_through": {Scope.ANY, Scope.SIGNED, Scope.ENDPOINT}}
OTHERS = {"swift": {Scope.ANY, Scope.SIGNED}, "radosgw": {Scope.ANY, Scope.SIGNED}}
DOCS = Path(__file__).parents[3] / "docs" / "conformance.md"


def at(servers: dict[str, set[Scope]]) -> Iterator[object]:
    for server, scopes in servers.items():
        for case in CASES:
            if case.scope in scopes:
                yield pytest.param(server, case, id=f"{server}: {case.id}")


@pytest.fixture
def server(request: pytest.FixtureRequest, name: str) -> Server:
    """The server of that name."""
    found: Server = request.getfixturevalue(name)
    return found


@pytest.mark.parametrize(("name", "case"), [*at(OURS)])
def test_archive_answers_as_amazon_s3(server: Server, case: Case | ListingCase) -> None:
    assert case.faults(server) == []


@pytest.mark.parametrize(("name", "case"), [*at(OTHERS)])
def test_real_server_agrees_with_the_table_but_for_known_deviations(
    server: Server, name: str, case: Case | ListingCase
) -> None:
    assert case.faults(server) == deviations(name).get(case.id, [])


@pytest.mark.parametrize(("name", "case"), [*at(PASSED_THROUGH)])
def test_bucket_that_passes_through_answers_as_amazon_s3_or_as_its_store(
    server: Server, case: Case | ListingCase
) -> None:
    """Ranges, parts and conditions of an object are for the store to judge, and nothing else."""
    of_store = deviations("radosgw").get(case.id, [])
    is_object = isinstance(case, Case) and bool(case.request.key)
    assert case.faults(server) in ([[], of_store] if is_object else [[]])


# ---- What takes two requests to see --------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["endpoint", "object_lambda", "passed_through", "swift", "radosgw"]
)
@pytest.mark.parametrize(
    "version",
    [pytest.param({}, id="test_bucket_list_return_data"), pytest.param({"list-type": "2"}, id="2")],
)
def test_listing_says_of_an_object_what_head_says(server: Server, version: dict[str, str]) -> None:
    listing = read_listing(server.send(Request(query=version | {"prefix": "prefix-alt/"})))
    assert len(listing.entries) == len(SETS["prefix-alt"])
    for entry in listing.entries:
        head = server.send(Request(method="HEAD", key=entry["Key"]))
        assert entry["ETag"] == head.headers["ETag"]
        assert entry["Size"] == head.headers["Content-Length"]
        modified = datetime.fromisoformat(entry["LastModified"]).replace(microsecond=0)
        assert modified == parse_http_date(head.headers["Last-Modified"])


@pytest.mark.parametrize("name", ["endpoint"])
def test_identifier_of_a_request_stands_in_the_log(server: Server) -> None:
    answer = server.send(Request(key="objects/nothing"))
    identifier = (error_elements(answer) or {})["RequestId"]
    until = time.monotonic() + 30
    while identifier not in server.log():  # the line is written once the answer is
        assert time.monotonic() < until


@pytest.mark.parametrize("name", ["endpoint", "passed_through", "radosgw", "swift"])
def test_list_buckets_names_the_bucket(server: Server) -> None:
    answer = server.send(Request(path="/"))
    assert answer.status == 200
    assert f"<Bucket><Name>{BUCKET}</Name>".encode() in answer.body


@pytest.mark.parametrize(
    ("name", "location"),
    # The gateway gives the name of its zone group, which in ours is not that of a region.
    [("endpoint", None), ("swift", None), ("radosgw", "default")],
)
def test_location_of_the_first_region_is_empty(server: Server, location: str | None) -> None:
    """test_bucket_get_location."""
    root = ET.fromstring(server.send(Request(query={"location": ""})).body)  # noqa: S314 -- of the server under test
    assert root.tag.rpartition("}")[2] == "LocationConstraint"
    assert root.text == location


# ---- The table itself ----------------------------------------------------------------------------


def test_every_case_has_a_name_of_its_own() -> None:
    assert [case for case, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_every_read_only_test_of_ceph_is_a_case_or_does_not_apply() -> None:
    assert len(READ_ONLY) == 127
    named = {case.id.partition(" ")[0] for case in CASES} | {"test_bucket_list_return_data"}
    cases = {name for name in named if name.startswith("test_")}
    assert cases == READ_ONLY - NOT_APPLICABLE.keys()


def test_page_on_conformance_gives_the_reason_for_each_that_does_not() -> None:
    rows = [f"| `{name}` | {reason} |" for name, reason in NOT_APPLICABLE.items()]
    page = DOCS.read_text(encoding="utf-8").splitlines()
    assert [line for line in page if line.startswith("| `test_")] == rows


@pytest.mark.parametrize("name", OTHERS)
def test_deviations_are_of_cases_that_are_put_to_the_server(name: str) -> None:
    put = {case.id for case in CASES if case.scope in OTHERS[name]}
    assert deviations(name).keys() <= put
