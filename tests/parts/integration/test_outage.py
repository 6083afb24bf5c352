"""What is served while the store cannot be asked, by the real processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.proxy.counting_proxy import Answer, CountingProxy, Stall
from tests.support.servers.transports import BUCKET, open_transport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.proxy.faults import Fault
    from tests.support.servers.swift_store import SwiftStore

KEY = "a/json/decoder.py"


@pytest.mark.parametrize(
    ("transport_name", "fault"),
    [
        ("object-lambda", Answer(503)),
        ("endpoint", Answer(503)),
        ("endpoint", Stall(None)),  # the stand-in for an access point would wait for it itself
    ],
)
def test_what_is_known_is_served_and_the_log_says_so(
    transport_name: str, fault: Fault, store: SwiftStore, tmp_path: Path, archive: str
) -> None:
    with CountingProxy(store.url) as proxy:
        settings = {"S3ARCHIVEFS_REVALIDATE_SECONDS": "0", "AWS_MAX_ATTEMPTS": "1"}
        with open_transport(
            transport_name,
            store,
            tmp_path,
            {"a": archive},
            store_url=proxy.url,
            settings=settings,
        ) as transport:

            def get() -> dict[str, Any]:
                """An answer, with what it says in place of its body."""
                answer = transport.client.get_object(Bucket=BUCKET, Key=KEY)
                with answer["Body"] as body:
                    return answer | {"content": body.read()}

            first = get()
            proxy.reset()
            proxy.inject(fault, times=1000)
            during = [get() for _ in range(5)]
            transport.client.head_object(Bucket=BUCKET, Key=KEY)
            lines = transport.log_lines()
        if transport_name == "endpoint":
            lines = transport.log_lines()  # it has stopped, and finished its requests before
    for answer in during:
        assert answer["content"] == first["content"]
        assert answer["ETag"] == first["ETag"]
    written = [json.loads(line) for line in lines if '"request_id"' in line]
    told = {line["request_id"]: line for line in written}
    marked = [told[each["ResponseMetadata"]["RequestId"]].get("stale") for each in (first, *during)]
    assert marked == [None] + 5 * [True]
