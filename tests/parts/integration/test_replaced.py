"""The archive is replaced while it is read: every answer is of one version, or breaks off."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event, Lock, Semaphore

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError, ResponseStreamingError

from tests.support.images.trees import pack
from tests.support.servers.swift_store import SwiftStore
from tests.support.servers.transports import BUCKET, Transport, open_transport, upload

READERS = 16
FILES = {"first": 1 << 20, "large1": 24 << 20, "large2": 24 << 20}
"""Names and sizes. The large ones are more than sockets can hold on the way to a reader."""
PIECE = 1 << 20
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as they come": {},
    "looked at by each request": {"S3ARCHIVEFS_REVALIDATE_SECONDS": "0"},
    "without a cache": {"S3ARCHIVEFS_CACHE_MAX_BYTES": "0", "S3ARCHIVEFS_CACHE_MEMORY_BYTES": "0"},
}


@dataclass(frozen=True)
class Version:
    """A version of the archive: the same names and sizes as the other, nothing else in common."""

    image: Path
    contents: Mapping[str, bytes]


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Version]:
    """The old one and the new one."""
    made = {}
    for name in ("old", "new"):
        directory = tmp_path_factory.mktemp(name)
        random = Random(name)
        contents = {file: random.randbytes(size) for file, size in FILES.items()}
        (directory / "tree").mkdir()
        for file, content in contents.items():
            (directory / "tree" / file).write_bytes(content)
        image = pack(directory / "tree", directory / "image.sqfs", extra=["-noD"])
        made[name] = Version(image, contents)
    assert made["old"].image.stat().st_size == made["new"].image.stat().st_size
    return made


class Reading:
    """Reads, each of which says which version it saw."""

    def __init__(self, transport: Transport, versions: Mapping[str, Version]) -> None:
        self._transport = transport
        self._versions = versions
        self._lock = Lock()
        self._seen: dict[tuple[str, str], str] = {}

    def read(self, file: str) -> Iterator[str]:
        """Read a file by pieces, nothing for each, and at last the version that it is of, or how it
        failed.
        """
        try:
            answer = self._transport.client.get_object(Bucket=BUCKET, Key=f"a/{file}")
        except ClientError as error:
            yield error.response["Error"]["Code"]
            return
        received = b""
        with answer["Body"] as body:
            try:
                while piece := body.read(PIECE):
                    received += piece
                    yield ""
            except (ReadTimeoutError, ResponseStreamingError):
                pass
        of = [
            name
            for name, version in self._versions.items()
            if version.contents[file].startswith(received)
        ]
        if received:
            assert of, f"{len(received)} bytes of {file} are of neither version"
            with self._lock:
                assert self._seen.setdefault((file, answer["ETag"]), of[0]) == of[0]
        yield of[0] if len(received) == FILES[file] else "broken off"

    def version(self, file: str) -> str:
        """The version that a file is of, or how reading it failed."""
        *_, outcome = self.read(file)
        return outcome


@pytest.fixture(params=["object-lambda", "endpoint"])
def transport_name(request: pytest.FixtureRequest) -> str:
    """Both transports."""
    name: str = request.param
    return name


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_an_archive_replaced_among_readers_is_old_or_new_to_each(
    transport_name: str,
    settings: Mapping[str, str],
    store: SwiftStore,
    versions: dict[str, Version],
    tmp_path: Path,
) -> None:
    # The function serves one after the other, so that the first one holds up the others.
    begun, replaced = Semaphore(0), Event()
    held = READERS if transport_name == "endpoint" else 1

    def read(reading: Reading, number: int) -> str:
        outcomes = reading.read(f"large{number % 2 + 1}")
        first = next(outcomes)
        begun.release()
        assert replaced.wait(60)
        return [first, *outcomes][-1]

    url = upload(store, versions["old"].image, "replaced.sqfs", superblock=True)
    with open_transport(
        transport_name, store, tmp_path, {"a": url}, settings=dict(settings)
    ) as transport:
        reading = Reading(transport, versions)
        with ThreadPoolExecutor(READERS) as executor:
            outcomes = [executor.submit(read, reading, number) for number in range(READERS)]
            for _ in range(held):
                assert begun.acquire(timeout=60)
            upload(store, versions["new"].image, "replaced.sqfs", superblock=True)
            replaced.set()
            counts = Counter(each.result() for each in outcomes)
        assert counts.keys() <= {"old", "new", "broken off"}
        if transport_name == "endpoint" and settings == SETTINGS["without a cache"]:
            # By way of the function more is on its way, which may be all of it.
            assert counts["broken off"]
        # Nobody has read the first one: S3 has to be asked, which tells.
        assert {file: reading.version(file) for file in FILES} == dict.fromkeys(FILES, "new")
