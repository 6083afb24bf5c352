"""How much of an image under way to S3 is in memory, and how long its parts are."""

from __future__ import annotations

import tracemalloc
from threading import Barrier
from typing import Any, BinaryIO

import pytest
from botocore.exceptions import ClientError

from s3archivefs_lambda.upload.errors import UploadError
from s3archivefs_lambda.upload.image_stream import ImageStream, streamed_part_size
from s3archivefs_lambda.upload.upload_target import UploadTarget

MIB = 1 << 20
IN_FLIGHT = 4


class Store:
    """Takes parts, `IN_FLIGHT` at a time, and keeps their bodies as botocore does failed ones."""

    def __init__(self) -> None:
        self.bodies: list[object] = []
        self.received: list[int] = []
        self._together = Barrier(IN_FLIGHT)

    def create_multipart_upload(self, **_: object) -> Any:  # noqa: ANN401 -- as botocore has it
        return {"UploadId": "1", "ResponseMetadata": {"RetryAttempts": 0}}

    def upload_part(self, *, PartNumber: int, Body: BinaryIO, **_: object) -> Any:  # noqa: ANN401, N803 -- likewise
        self.bodies.append(Body)
        while piece := Body.read(1 << 14):
            self.received.append(len(piece))
        if PartNumber > 1:
            self._together.wait(60)
        return {"ETag": '"0"'}

    def complete_multipart_upload(self, **_: object) -> Any:  # noqa: ANN401 -- likewise
        return {}

    def head_object(self, **_: object) -> Any:  # noqa: ANN401 -- likewise
        return {"ContentLength": (1 + 3 * IN_FLIGHT) * MIB, "ETag": ""}


def test_each_part_is_in_memory_once_and_until_it_is_sent() -> None:
    store = Store()
    client: Any = store
    stream = ImageStream(UploadTarget(client, "b", "k"), part_bytes=MIB, replace=True)
    piece = bytes(MIB // 4)
    tracemalloc.start()
    try:
        for _ in range(4 * (1 + 3 * IN_FLIGHT)):
            stream.write(piece)
        stream.finish(bytes(96))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(store.received) == (1 + 3 * IN_FLIGHT) * MIB
    # The first part, those in flight, and the next; and an eighth by which it grows.
    assert most <= (1 + IN_FLIGHT + 1.25) * MIB


def test_up_to_42_gib_are_so_few_parts_that_any_store_takes_them() -> None:
    for size in (1, 10**9, 10**10, 2 * 10**10, 42 << 30):
        assert size / streamed_part_size(size) <= 1000


def test_a_known_length_fits_into_the_parts_that_s3_takes() -> None:
    for size in (42 << 30, 10**11, 10**12, 5 * 10**12):
        assert 1.1 * size / streamed_part_size(size) <= 10_000


def test_parts_grow_no_longer_for_few_stores_than_memory_has_room_for() -> None:
    for size in (10**10, 42 << 30, 10**11, 4 * 10**11):
        assert streamed_part_size(size) <= streamed_part_size(None) == 48 * MIB


@pytest.mark.parametrize(("status", "is_left"), [(500, True), (503, True), (403, False)])
def test_attempts_that_may_have_begun_an_upload_are_known(status: int, is_left: bool) -> None:  # noqa: FBT001 -- a case
    class Refusing(Store):
        def create_multipart_upload(self, **_: object) -> Any:  # noqa: ANN401 -- likewise
            facts: Any = {"Error": {}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(facts, "CreateMultipartUpload")

    client: Any = Refusing()
    stream = ImageStream(UploadTarget(client, "b", "k"), part_bytes=MIB, replace=True)
    stream.write(bytes(2 * MIB))
    with pytest.raises(UploadError):
        stream.write(bytes(2 * MIB))
    assert stream.was_begun_again == is_left
