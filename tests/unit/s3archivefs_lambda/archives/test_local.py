"""Archives in local files: looked at by each request, and another version once they change."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fixtures.tree import file
from s3archivefs import FileDevice
from s3archivefs_lambda.archives import local
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.store.errors import ArchiveNotFoundError, ArchiveUnavailableError
from tests.support.adapter.local_archives import config_for, location_of
from tests.support.images.fixtures import make_image

if TYPE_CHECKING:
    from typing import BinaryIO


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_image(tmp_path, (file("a", b"1"),))


def archives_on(path: Path) -> Archives:
    return Archives(config_for({"a": path}), make_archive_client)


def replace_image(image: Path, content: bytes) -> None:
    make_image(image.parent, (file("a", content),), name="new").replace(image)


def test_a_replaced_image_is_noticed_at_once(image: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "s3archivefs")
    archives = archives_on(image)
    first = archives.get(location_of(image))
    replace_image(image, b"2")
    second = archives.get(location_of(image))
    assert second.image.read_bytes("/a") == b"2"
    assert second.identity != first.identity
    assert first.image.read_bytes("/a") == b"1"  # by whoever still reads it
    assert len(caplog.messages) == 1
    assert str(image) in caplog.messages[0]


def test_an_image_replaced_while_it_is_opened_never_has_the_others_identity(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replaced_meanwhile(file: BinaryIO) -> FileDevice:
        replace_image(image, b"2")
        return FileDevice(file)

    with monkeypatch.context() as patch:
        patch.setattr(local, "FileDevice", replaced_meanwhile)
        one = archives_on(image).get(location_of(image))
    other = archives_on(image).get(location_of(image))
    is_same_content = one.image.read_bytes("/a") == other.image.read_bytes("/a")
    assert (one.identity == other.identity) is is_same_content


def test_a_file_written_again_in_place_is_another_version(image: Path) -> None:
    archives = archives_on(image)
    first = archives.get(location_of(image))
    os.utime(image, ns=(1, 1))  # same file, same size, another time
    assert archives.get(location_of(image)).identity != first.identity


def test_an_image_that_goes_away_is_missed_and_found_again(image: Path) -> None:
    archives = archives_on(image)
    archives.get(location_of(image))
    kept = image.read_bytes()
    image.unlink()
    for _ in range(2):
        with pytest.raises(ArchiveNotFoundError, match=f"file://{image}"):
            archives.get(location_of(image))
    image.write_bytes(kept)
    assert archives.get(location_of(image)).image.read_bytes("/a") == b"1"


def test_a_fifo_is_no_archive_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    archives = archives_on(tmp_path / "fifo")
    with pytest.raises(ArchiveUnavailableError, match="not seekable"):
        archives.get(location_of(tmp_path / "fifo"))


def test_a_directory_is_no_archive(tmp_path: Path) -> None:
    archives = archives_on(tmp_path)
    with pytest.raises(ArchiveUnavailableError, match="directory"):
        archives.get(location_of(tmp_path))
