"""Archives among a bucket's own objects: when they are found, what that asks of the store."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.s3api.messages import S3Error, S3Request
from tests.support.adapter.local_archives import (
    ask,
    content,
    get,
    list_keys,
    list_page,
    list_pages,
)
from tests.support.adapter.memory_store import MemoryStore, etag_of
from tests.support.adapter.store_buckets import operations_over
from tests.support.clock import Clock
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from pathlib import Path

    from s3archivefs_lambda.bucket.operations import Operations

REVALIDATE_SECONDS = 60
ABSENT_SECONDS = 5


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    tree = (file("x", b"in x"), file("y", b"in y"))
    return make_image(tmp_path_factory.mktemp("image"), tree).read_bytes()


@pytest.fixture(scope="module")
def other_image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_image(tmp_path_factory.mktemp("other"), (file("z", b"in z"),)).read_bytes()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(image: bytes) -> MemoryStore:
    objects = {"a": b"1", "d/a.sqfs": image, "d/a.sqfs-old": b"2", "d/b": b"3"}
    return MemoryStore(objects)


@pytest.fixture
def operations(store: MemoryStore, clock: Clock, tmp_path: Path) -> Operations:
    return operations_over(store.client, tmp_path, clock=clock)


def status(operations: Operations, key: str) -> int:
    return operations.answer("HeadObject", S3Request(key=key)).status


def test_no_listing_asks_the_store_for_longer_keys_than_it_can_have(
    store: MemoryStore, operations: Operations
) -> None:
    long = 2000
    store.objects |= {"k" * 1023: b"", "k" * 1024: b"", "k" * 1023 + "l": b""}
    every = list_keys(operations)
    assert list_keys(operations, prefix="d" * long) == []
    assert list_keys(operations, prefix="d/a.sqfs/" + "x" * long) == []
    assert list_keys(operations, delimiter="/" * long) == every
    for place in ("d/a.sqfs/y", "d/az", "k", "\u00fc"):
        after = place + place[-1] * long
        found = list_keys(operations, start_after=after)
        assert found == [key for key in every if key > after]
    texts = [str(text) for _, parameters in store.asked for text in parameters.values()]
    assert max(map(len, map(str.encode, texts))) < 1024 + 2 * 4


def test_a_name_that_the_store_takes_for_no_key_is_no_archives(
    store: MemoryStore, operations: Operations
) -> None:
    store.failing["d/\0.sqfs"] = (400, "InvalidURI")
    assert status(operations, "d/\0.sqfs/x") == 404
    assert list_keys(operations, prefix="d/\0.sqfs/") == []


# ---- Objects -------------------------------------------------------------------------------------


def test_a_member_and_the_archive_itself_can_be_read(operations: Operations, image: bytes) -> None:
    assert get(operations, "d/a.sqfs/x") == b"in x"
    assert get(operations, "d/a.sqfs") == image
    response = ask(operations, "HeadObject", S3Request(key="d/a.sqfs"))
    assert response.headers["ETag"] == etag_of(image)


def test_a_member_of_an_open_archive_asks_the_store_nothing(
    store: MemoryStore, operations: Operations
) -> None:
    assert get(operations, "d/a.sqfs/x") == b"in x"
    store.take_counts()
    assert get(operations, "d/a.sqfs/y") == b"in y"
    assert status(operations, "d/a.sqfs/none") == 404
    assert status(operations, "d/a.sqfs/x/none.sqfs/none") == 404
    assert store.take_counts() == {}
    response = operations.at_hand("GetObject", S3Request(key="d/a.sqfs/y"))
    assert response is not None
    assert content(response) == b"in y"


def test_the_outermost_archive_owns_what_lies_in_it(
    store: MemoryStore, operations: Operations, other_image: bytes
) -> None:
    store.objects |= {"d/a.sqfs/b.sqfs": other_image, "d/a.sqfs/c": b"hidden"}
    for key in ("d/a.sqfs/b.sqfs", "d/a.sqfs/b.sqfs/z", "d/a.sqfs/c"):
        assert status(operations, key) == 404
    assert list_keys(operations, prefix="d/a.sqfs/") == ["d/a.sqfs/x", "d/a.sqfs/y"]


def test_a_directory_named_as_an_archive_is_looked_through(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    store.objects = {"v.sqfs/a.sqfs": image, "v.sqfs/b": b"2"}
    assert get(operations, "v.sqfs/a.sqfs/x") == b"in x"
    assert get(operations, "v.sqfs/b") == b"2"
    assert list_keys(operations) == ["v.sqfs/a.sqfs/x", "v.sqfs/a.sqfs/y", "v.sqfs/b"]


# ---- Found when they are asked for ---------------------------------------------------------------


def test_a_missing_archive_is_asked_for_once_in_five_seconds(
    store: MemoryStore, operations: Operations, clock: Clock
) -> None:
    assert status(operations, "n.sqfs/x") == 404
    asked_for = [parameters["Key"] for _, parameters in store.asked]
    assert set(asked_for) == {"n.sqfs", "n.sqfs/x"}
    store.take_counts()
    assert status(operations, "n.sqfs/y") == 404
    assert store.take_counts() == {"HeadObject": 1}  # for the key itself
    clock.now += ABSENT_SECONDS
    assert status(operations, "n.sqfs/y") == 404
    assert store.take_counts().get("GetObject")


def test_a_new_archive_is_there_without_a_restart(
    store: MemoryStore, operations: Operations, clock: Clock, image: bytes
) -> None:
    assert status(operations, "n.sqfs/x") == 404
    store.objects["n.sqfs"] = image
    assert list_keys(operations, prefix="n") == ["n.sqfs/x", "n.sqfs/y"]  # listings ask anew
    clock.now += ABSENT_SECONDS
    assert get(operations, "n.sqfs/x") == b"in x"


def test_a_replaced_archive_is_noticed_after_the_interval(
    store: MemoryStore, operations: Operations, clock: Clock, other_image: bytes
) -> None:
    assert get(operations, "d/a.sqfs/x") == b"in x"
    store.objects["d/a.sqfs"] = other_image
    clock.now += REVALIDATE_SECONDS
    assert get(operations, "d/a.sqfs/z") == b"in z"
    assert list_keys(operations, prefix="d/a.sqfs/") == ["d/a.sqfs/z"]


def test_a_deleted_archive_is_gone_from_listings_at_once(
    store: MemoryStore, operations: Operations, clock: Clock
) -> None:
    assert get(operations, "d/a.sqfs/x") == b"in x"
    del store.objects["d/a.sqfs"]
    assert list_keys(operations) == ["a", "d/a.sqfs-old", "d/b"]
    clock.now += REVALIDATE_SECONDS
    assert status(operations, "d/a.sqfs/x") == 404


# ---- Named as an archive, and none ---------------------------------------------------------------


def test_an_object_that_is_no_image_is_an_object_of_its_own(
    store: MemoryStore, operations: Operations
) -> None:
    store.objects |= {"n.sqfs": b"no image", "n.sqfs/x": b"beside it"}
    assert list_keys(operations, prefix="n") == ["n.sqfs", "n.sqfs/x"]
    assert get(operations, "n.sqfs") == b"no image"
    assert get(operations, "n.sqfs/x") == b"beside it"


def test_it_is_logged_once(
    store: MemoryStore, operations: Operations, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.objects["n.sqfs"] = b"no image"
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            status(operations, "n.sqfs/x")
            list_keys(operations)
            clock.now += 2 * REVALIDATE_SECONDS
    (line,) = caplog.messages
    assert line.startswith("s3://bucket/n.sqfs is served as an object of its own: ")


def test_listings_know_it_by_its_etag_and_do_not_open_it_again(
    store: MemoryStore, operations: Operations, clock: Clock, image: bytes
) -> None:
    store.objects = {"n.sqfs": b"no image"}
    assert list_keys(operations) == ["n.sqfs"]
    clock.now += 100 * REVALIDATE_SECONDS
    store.take_counts()
    assert list_keys(operations) == ["n.sqfs"]
    assert store.take_counts() == {"ListObjectsV2": 1}
    store.objects = {"n.sqfs": image}
    assert list_keys(operations) == ["n.sqfs/x", "n.sqfs/y"]


def test_with_a_delimiter_it_is_a_common_prefix_until_it_is_known(
    store: MemoryStore, operations: Operations
) -> None:
    store.objects = {"n.sqfs": bytes(8192)}
    assert list_page(operations, delimiter="/").items == [b"n.sqfs/"]
    assert list_page(operations, delimiter="/", prefix="n.sqfs/").items == []
    store.take_counts()
    assert list_keys(operations) == ["n.sqfs"]
    assert list_page(operations, delimiter="/").items == [b"n.sqfs"]


def test_with_a_delimiter_it_is_looked_at_where_its_size_is_not_that_of_padded_images(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    unpadded = image.rstrip(b"\0") + bytes(10)
    store.objects = {"n.sqfs": b"no image", "u.sqfs": unpadded}
    assert len(image) % 4096 == 0 < len(unpadded) % 4096
    for _ in range(2):
        assert list_page(operations, delimiter="/").items == [b"n.sqfs", b"u.sqfs/"]
    store.take_counts()
    assert list_page(operations, delimiter="/").items == [b"n.sqfs", b"u.sqfs/"]
    assert store.take_counts() == {"ListObjectsV2": 1}


def test_an_object_too_short_for_an_image_is_known_at_once(
    store: MemoryStore, operations: Operations
) -> None:
    store.objects = {"n.sqfs": b""}
    assert list_page(operations, delimiter="/").items == [b"n.sqfs"]
    assert store.take_counts() == {"ListObjectsV2": 1}


# ---- What listings ask of the store --------------------------------------------------------------


def test_a_listing_with_a_delimiter_opens_no_archive(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    store.objects = {f"{number:04}.sqfs": image for number in range(50)}
    page = list_page(operations, delimiter="/")
    assert page.prefixes == tuple(f"{number:04}.sqfs/".encode() for number in range(50))
    assert store.take_counts() == {"ListObjectsV2": 1}


def test_a_listing_within_an_archive_does_not_list_the_store(
    store: MemoryStore, operations: Operations
) -> None:
    assert list_keys(operations, prefix="d/a.sqfs/") == ["d/a.sqfs/x", "d/a.sqfs/y"]
    assert "ListObjectsV2" not in store.take_counts()
    assert list_keys(operations, prefix="d/a.sqfs/y") == ["d/a.sqfs/y"]
    assert store.take_counts() == {}


def test_a_listing_within_a_mapping_does_not_list_the_store(
    store: MemoryStore, tmp_path: Path, image: bytes
) -> None:
    (tmp_path / "image").write_bytes(image)
    store.objects |= {"m/hidden": b"", "m.sqfs/hidden": b""}
    names = ("m", "m.sqfs", "d/a.sqfs/m")
    mapped = {name: Location("file", "", str(tmp_path / "image")) for name in names}
    operations = operations_over(store.client, tmp_path, mappings=mapped)
    for prefix in ("m/", "m.sqfs/", "d/a.sqfs/m/"):
        assert list_keys(operations, prefix=prefix) == [f"{prefix}x", f"{prefix}y"]
        assert list_page(operations, prefix=prefix, delimiter="/").items == [
            f"{prefix}{name}".encode() for name in "xy"
        ]
    assert store.take_counts() == {}


def test_a_page_asks_for_one_key_more_than_it_has(
    store: MemoryStore, operations: Operations
) -> None:
    store.objects = {f"{number:05}": b"" for number in range(5000)}
    page = list_page(operations, max_keys="10", start_after="02000")
    assert page.items == [b"%05d" % number for number in range(2001, 2011)]
    ((_, asked),) = store.asked
    assert (asked["StartAfter"], asked["MaxKeys"]) == ("02000", 11)


def test_common_prefixes_are_the_stores_to_find(store: MemoryStore, operations: Operations) -> None:
    store.objects = {f"{top}/{number}": b"" for top in "abc" for number in range(1500)}
    assert list_page(operations, delimiter="/").items == [b"a/", b"b/", b"c/"]
    assert store.take_counts() == {"ListObjectsV2": 1}


def test_objects_that_an_archive_hides_are_passed_over_unread(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    hidden = {f"a.sqfs/{number:05}": b"" for number in range(5000)}
    store.objects = {"a.sqfs": image, **hidden, "b": b""}
    assert list_keys(operations) == ["a.sqfs/x", "a.sqfs/y", "b"]
    assert store.take_counts()["ListObjectsV2"] == 2


def test_each_page_across_many_archives_opens_those_it_shows_and_few_ahead(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    store.objects = {f"{number:04}.sqfs": image for number in range(300)}
    keys = list_page(operations, max_keys="2").items
    assert keys == [b"0000.sqfs/x", b"0000.sqfs/y"]
    opened = {p["Key"] for operation, p in store.asked if operation == "GetObject"}
    assert opened <= {f"{number:04}.sqfs" for number in range(3)}


def test_a_page_starts_between_an_archives_object_and_its_members(
    store: MemoryStore, operations: Operations
) -> None:
    pages = list_pages(operations, max_keys="1", prefix="d/")
    assert [page.items for page in pages] == [
        [b"d/a.sqfs-old"],
        [b"d/a.sqfs/x"],
        [b"d/a.sqfs/y"],
        [b"d/b"],
    ]
    grouped = list_pages(operations, max_keys="1", prefix="d/", delimiter="/")
    assert [page.items for page in grouped] == [[b"d/a.sqfs-old"], [b"d/a.sqfs/"], [b"d/b"]]


def test_such_a_page_looks_for_the_archive_by_one_request_more(
    store: MemoryStore, operations: Operations
) -> None:
    page = list_page(operations, delimiter="/", prefix="d/", start_after="d/a.sqfs-old")
    assert page.items == [b"d/a.sqfs/", b"d/b"]
    assert store.take_counts() == {"ListObjectsV2": 2}


def test_a_listing_says_in_which_storage_class_an_object_is(
    store: MemoryStore, operations: Operations
) -> None:
    store.storage_classes["a"] = "DEEP_ARCHIVE"
    request = S3Request(query={"prefix": "a"})
    document = content(ask(operations, "ListObjectsV2", request))
    assert b"<StorageClass>DEEP_ARCHIVE</StorageClass>" in document


# ---- Faults --------------------------------------------------------------------------------------


def failed(operations: Operations, **query: str) -> tuple[str, int]:
    with pytest.raises(S3Error) as error:
        list_page(operations, **query)
    return error.value.code, error.value.status


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((403, "AccessDenied"), ("AccessDenied", 403)),
        ((404, "NoSuchBucket"), ("NoSuchBucket", 404)),
        ((503, "SlowDown"), ("SlowDown", 503)),
        ((500, "InternalError"), ("ServiceUnavailable", 503)),
    ],
)
def test_a_bucket_that_cannot_be_listed_fails_the_listing_in_s3s_words(
    store: MemoryStore, operations: Operations, answer: tuple[int, str], told: tuple[str, int]
) -> None:
    store.failing[""] = answer
    assert failed(operations) == told


def test_an_archive_that_may_not_be_read_is_left_out_and_its_members_forbidden(
    store: MemoryStore, operations: Operations, caplog: pytest.LogCaptureFixture
) -> None:
    store.failing["d/a.sqfs"] = (403, "AccessDenied")
    assert list_keys(operations) == ["a", "d/a.sqfs-old", "d/b"]
    assert "s3://bucket/d/a.sqfs: access was refused" in caplog.text
    assert status(operations, "d/a.sqfs/x") == 403
    assert failed(operations, prefix="d/a.sqfs/") == ("AccessDenied", 403)


def test_an_archive_that_cannot_be_read_now_fails_the_listing(
    store: MemoryStore, operations: Operations
) -> None:
    store.failing["d/a.sqfs"] = (503, "SlowDown")
    assert failed(operations) == ("SlowDown", 503)
    assert list_page(operations, delimiter="/").items == [b"a", b"d/"]


def test_a_damaged_image_is_left_out_and_its_members_fail(
    store: MemoryStore, operations: Operations, image: bytes
) -> None:
    store.objects["d/a.sqfs"] = image[:200]
    assert list_keys(operations) == ["a", "d/a.sqfs-old", "d/b"]
    assert status(operations, "d/a.sqfs/x") == 500
