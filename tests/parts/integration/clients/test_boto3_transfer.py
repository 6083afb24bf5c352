"""boto3's transfer manager through `s3archivefs serve`: a large file in concurrent ranges."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.servers.transports import BUCKET, LARGE_FILE_BYTES, open_transport

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers.swift_store import SwiftStore

PART_BYTES = 8 << 20
"""boto3's default, both for where it begins to divide a download and for the parts."""


def test_download_file_reads_ranges_of_one_version_of_a_large_file(
    store: SwiftStore, archive_of_large_file: str, large_file: bytes, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    def note(params: dict[str, Any], **_: object) -> None:
        asked.append((params["headers"]["Range"], params["headers"]["If-Match"]))

    with open_transport("endpoint", store, tmp_path, {"large": archive_of_large_file}) as endpoint:
        etag = endpoint.client.head_object(Bucket=BUCKET, Key="large/large.bin")["ETag"]
        endpoint.client.meta.events.register("before-call.s3.GetObject", note)
        endpoint.client.download_file(BUCKET, "large/large.bin", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == large_file

    *starts, last = range(0, LARGE_FILE_BYTES, PART_BYTES)
    ranges = [f"bytes={start}-{start + PART_BYTES - 1}" for start in starts] + [f"bytes={last}-"]
    assert sorted(asked) == sorted((part, etag) for part in ranges)
    # The endpoint has ended, so its log is complete.
    logged = [json.loads(line[line.index("{") :]) for line in endpoint.log_lines() if "{" in line]
    answers = [(line["status"], line["bytes"]) for line in logged if line["method"] == "GET"]
    assert answers == [(206, PART_BYTES)] * len(ranges)
