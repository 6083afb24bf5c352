"""The place in S3 for an image."""

from __future__ import annotations

import re
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.upload_target import UploadTarget


class _Client:
    """Deletes parts as a store does that may be silent."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.deleted: list[str] = []

    def abort_multipart_upload(self, **parameters: str) -> None:
        assert self.answers.wait(30)
        self.deleted.append(parameters["UploadId"])


def test_a_store_that_is_silent_is_not_waited_for_at_an_end() -> None:
    client: Any = _Client()
    target = UploadTarget(client, "bucket", "key")
    silent = re.escape("s3://bucket/key: not deleted within 0 seconds")
    with pytest.raises(UploadError, match=silent):
        target.abort_own("first", seconds=0)
    client.answers.set()
    target.abort_own("second", seconds=30)
    assert "second" in client.deleted


def test_an_interruption_of_deleting_parts_is_one() -> None:
    """An UploadError in its place could be suppressed, and the program would go on."""

    def interrupt(**_: str) -> None:
        raise KeyboardInterrupt

    client: Any = SimpleNamespace(abort_multipart_upload=interrupt)
    with pytest.raises(KeyboardInterrupt):
        UploadTarget(client, "bucket", "key").abort_own("id")
