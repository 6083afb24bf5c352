"""Clients behind proxies."""

from __future__ import annotations

import logging
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.messages import HttpRequest
from s3archivefs_lambda.endpoint.proxies import MOST_PROXIES, Proxies
from tests.support.adapter.request_lines import logged_lines

if TYPE_CHECKING:
    from tests.support.adapter.fake_operations import FakeOperations

PROXIES = Proxies(map(ip_network, ["10.0.0.0/8", "192.0.2.1", "fd00::/8"]))


def asked(client: str, *forwarded: str) -> HttpRequest:
    headers = (("host", "h"), *(("x-forwarded-for", value) for value in forwarded))
    return HttpRequest(method="GET", target="/", headers=headers, client=client)


@pytest.mark.parametrize(
    ("sender", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # anybody can send it
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.2.3.4", "198.51.100.1 , 10.9.9.9"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("10.0.0.1", ["[2001:db8::1]"], "2001:db8::1"),
        ("10.0.0.1", ["2001:DB8::1"], "2001:db8::1"),
        ("10.0.0.1", ["1.2.3.4, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["1.2.3.4, <script>, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("fd00::7", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("192.0.2.1", ["192.0.2.2"], "192.0.2.2"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(
    sender: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client_of(asked(sender, *forwarded)) == client


def test_proxies_are_believed_as_far_as_a_chain_of_them_is_long() -> None:
    addresses = [f"10.0.{number}.1" for number in range(MOST_PROXIES + 1)]
    assert PROXIES.client_of(asked("10.0.0.1", ",".join(addresses))) == addresses[1]
    assert PROXIES.client_of(asked("10.0.0.1", *addresses)) == addresses[1]
    behind_most = ["198.51.100.1", *addresses[2:]]
    assert PROXIES.client_of(asked("10.0.0.1", *behind_most)) == "198.51.100.1"


@pytest.mark.property
@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=5))
def test_whatever_clients_invent_the_address_before_the_proxies_counts(
    invented: list[str],
) -> None:
    forwarded = [*invented, "198.51.100.1", "10.0.0.2"]
    assert PROXIES.client_of(asked("10.0.0.1", *forwarded)) == "198.51.100.1"


def test_the_log_and_the_shares_go_by_the_client_behind_the_proxy(
    operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "s3archivefs")
    app = make_app({"archive": ServedBucket(operations)}, verifier=None, proxies=PROXIES)
    call = app(asked("10.0.0.1", "198.51.100.1"))
    assert call.client == "198.51.100.1"
    call.answer().body.close()
    (line,) = logged_lines(caplog)
    assert line["client"] == "198.51.100.1"
    believing_none = make_app({"archive": ServedBucket(operations)}, verifier=None)
    assert believing_none(asked("10.0.0.1", "198.51.100.1")).client == "10.0.0.1"
