from __future__ import annotations

from contextvars import copy_context
from threading import Thread

from s3archivefs_lambda import accounting
from s3archivefs_lambda.commands.costs import counting


def test_what_is_counted_meanwhile_has_its_figures() -> None:
    accounting.add("s3_requests", 7)
    with counting() as figures:
        assert figures() == {}
        accounting.add("s3_requests")
        thread = Thread(target=copy_context().run, args=(accounting.add, "s3_bytes", 1000))
        thread.start()
        thread.join()
        counted = {
            "requests to S3": 1,
            "bytes from S3": 1000,
            "chunks from the cache": 0,
            "chunks fetched": 0,
        }
        assert figures() == counted
    accounting.add("s3_requests")
    assert figures() == counted
