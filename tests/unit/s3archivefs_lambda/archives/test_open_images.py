"""Open archives: bounded by the memory they take."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from s3archivefs_lambda.archives.archive import BASE_BYTES, Archive
from s3archivefs_lambda.archives.open_images import OpenImages
from s3archivefs_lambda.config.location import Location
from tests.support.clock import Clock

if TYPE_CHECKING:
    from s3archivefs import SquashFS


MIB = 1 << 20
SLACK = 9 * BASE_BYTES
"""What archives weigh besides what they hold and have cached, more of them than any test has."""


class Image:
    """An image as far as it is weighed."""

    cached_bytes = 0


def archive_at(
    number: int, held_mib: int = 0, *, holds_descriptor: bool = False
) -> tuple[Archive, Image]:
    image = Image()
    at = Location("s3", "bucket", str(number))
    archive = Archive(
        at,
        cast("SquashFS", image),
        str(number),
        held_mib * MIB,
        holds_descriptor=holds_descriptor,
    )
    return archive, image


def open_in(images: OpenImages, archives: list[Archive]) -> list[bool]:
    return [images.peek(archive.location) is archive for archive in archives]


def test_the_least_recently_used_are_evicted_until_the_others_fit() -> None:
    images = OpenImages(100 * MIB + SLACK, Clock())
    archives = [archive_at(number, size)[0] for number, size in enumerate((40, 40, 20, 90))]
    for archive in archives[:3]:
        images.put(archive)
    assert images.get(archives[0].location) is archives[0]
    assert images.get(archives[2].location) is archives[2]
    images.put(archives[3])
    assert open_in(images, archives) == [False, False, False, True]


def test_one_that_is_heavier_than_the_bound_stays_while_it_is_used() -> None:
    images = OpenImages(100 * MIB + SLACK, Clock())
    (heavy, _), (light, _) = archive_at(0, 500), archive_at(1, 1)
    images.put(heavy)
    assert images.get(heavy.location) is heavy
    images.put(light)
    assert open_in(images, [heavy, light]) == [False, True]


def test_what_an_archive_has_cached_since_counts_when_it_is_used_again() -> None:
    images = OpenImages(100 * MIB + SLACK, Clock())
    (first, _), (second, image) = archive_at(0, 40), archive_at(1, 40)
    images.put(first)
    images.put(second)
    image.cached_bytes = 50 * MIB
    assert images.get(second.location) is second
    assert open_in(images, [first, second]) == [False, True]


def test_images_that_grow_without_requests_are_weighed_each_second() -> None:
    clock = Clock()
    images = OpenImages(100 * MIB + SLACK, clock)
    (first, growing), (second, _) = archive_at(0, 40), archive_at(1, 40)
    images.put(first)
    images.put(second)
    growing.cached_bytes = 50 * MIB
    images.get(second.location)
    assert open_in(images, [first, second]) == [True, True]
    clock.now += 1
    images.get(second.location)
    assert open_in(images, [first, second]) == [False, True]


def test_one_in_place_of_another_weighs_in_its_place() -> None:
    images = OpenImages(100 * MIB + SLACK, Clock())
    (other, _), (before, _), (now, _) = archive_at(0, 30), archive_at(1, 60), archive_at(1, 70)
    for archive in (other, before, now):
        images.put(archive)
    assert open_in(images, [other, before, now]) == [True, False, True]
    images.remove(before)  # is no longer the one that is open
    assert open_in(images, [now]) == [True]
    images.remove(now)
    images.put(archive_at(2, 70)[0])
    assert open_in(images, [other, now]) == [True, False]


def test_local_files_are_bounded_in_number_too() -> None:
    images = OpenImages(100 * MIB, Clock(), files_max=2)
    remote = archive_at(9)[0]
    images.put(remote)
    archives = [archive_at(number, holds_descriptor=True)[0] for number in range(3)]
    for archive in (*archives, archives[2]):
        images.put(archive)
    assert open_in(images, [remote, *archives]) == [True, False, True, True]
