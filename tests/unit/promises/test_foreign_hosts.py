"""Hosts that would make an endpoint without keys answer to a page of somebody else's.

A page leads its own name to this machine (DNS rebinding), and the browser hands it the answers. So
without keys only names of this machine are answered, in whatever way others are written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.adapter.http_site import Site, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator

OURS = [
    *("localhost", "LocalHost", "localhost:80", "localhost:9000", "localhost:", "localhost:65536"),
    *("archive.localhost", "Archive.localhost:9000", "127.0.0.1", "127.0.0.1:9000", "127.1.2.3"),
    *("[::1]", "[::1]:9000", "[0:0:0:0:0:0:0:1]", ""),
]
FOREIGN = [
    # Names of somebody else's, and names that only look like ours.
    *(
        "evil.example",
        "evil.example:9000",
        "localhost.evil.example",
        "localhost.",
        "archive.localhost.",
    ),
    *(
        "localhost.localdomain",
        "notlocalhost",
        "local-host",
        "localhost_",
        "127.0.0.1.evil.example",
    ),
    *("127.0.0.1.nip.io", "7f000001.rbndr.test", "evil.example.:9000", "localhost%2eevil.example"),
    *("localhost%00.evil.example", "xn--localhst-c5a", "localhost,evil.example", "metadata"),
    # Addresses that some resolvers take for 127.0.0.1, and addresses of others.
    *("2130706433", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.01"),
    *(
        "127.0.0.1.",
        "0",
        "0.0.0.0",  # noqa: S104 -- a Host, not bound
        "0.0.0.0:9000",
        "10.0.0.1",
        "192.168.0.1:9000",
        "169.254.169.254",
    ),
    *("[::]", "[::ffff:10.0.0.1]", "[fe80::1]", "[2001:db8::1]:9000"),
    "x" * 300 + ".localhost",
]
MALFORMED = [
    *("user@localhost", "evil.example@localhost", "localhost@evil.example", "u:p@127.0.0.1"),
    *(
        "localhost:x",
        "localhost:-1",
        "localhost:80:80",
        "localhost/",
        "localhost/evil",
        "localhost?x",
    ),
    *(
        "localhost#x",
        "localhost\\evil.example",
        "local host",
        "localhost\tevil",
        "[::1",
        "::1",
        "::1.evil.example",
        "[::1%lo]",
    ),
    *(
        "[::1%25lo]",
        "[localhost]",
        "[127.0.0.1",
        "localhost\xe9",
        "loc\xe4lhost",
        "\xef\xbd\x8cocalhost",
    ),
    *('"localhost"', "<localhost>", "{localhost}", "http://localhost", "localhost\x7f"),
]


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def asked(site: Site, host: str, target: str = "/archive/k") -> bytes:
    site.operations.reset()
    named = target.startswith("http")
    head = f"GET {target} HTTP/1.1\r\nHost: {'localhost' if named else host}\r\nConnection: close"
    return site.raw(head.encode("latin-1") + b"\r\n\r\n")


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine_is_answered(site: Site, host: str) -> None:
    target = "/k" if host.lower().startswith("archive.") else "/archive/k"
    assert statuses(asked(site, host, target)) == [200]
    assert site.keys == ["k"]


@pytest.mark.parametrize("host", FOREIGN)
def test_any_other_name_is_denied(site: Site, host: str) -> None:
    answer = asked(site, host)
    assert statuses(answer) == [403]
    assert b"<Code>AccessDenied</Code>" in answer
    assert site.operations.asked == []


@pytest.mark.parametrize("host", MALFORMED)
def test_what_is_no_host_is_refused(site: Site, host: str) -> None:
    assert statuses(asked(site, host)) == [400]
    assert site.operations.asked == []


@pytest.mark.parametrize("host", [*FOREIGN, *filter("localhost?x".__ne__, MALFORMED)])
def test_a_name_in_the_target_counts_instead_of_the_header(site: Site, host: str) -> None:
    assert statuses(asked(site, host, f"http://{host}/archive/k"))[0] in {400, 403, 404}
    assert site.operations.asked == []


@pytest.mark.parametrize("name", ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host"])
def test_no_other_field_names_the_host(site: Site, name: str) -> None:
    answer = asked(site, f"evil.example\r\n{name}: localhost")
    assert statuses(answer) == [403]
    assert site.operations.asked == []
