"""Packing very many objects of S3, in bounded memory.

    TESTS_PACKED_OBJECTS=500000 pytest -s tests/nightly/test_packing_many_objects.py -k gateway
    TESTS_SERVED_OBJECTS=1000000 pytest -s tests/nightly/test_packing_many_objects.py -k endpoint

The gateway keeps them in memory: 15 KB for each. An endpoint over an archive has as many as that.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from tests.support.adapter.crowded_bucket import put_many
from tests.support.images.fixtures import run_tool
from tests.support.images.many_files import pack_many, path_of, short_content_of
from tests.support.processes.confined import confined
from tests.support.servers.radosgw_server import RadosGateway
from tests.support.servers.served import served
from tests.support.servers.swift_store import Credentials, environ_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.processes.confined import Confined

IN_GATEWAY = int(os.environ.get("TESTS_PACKED_OBJECTS", "20000"))
FROM_ENDPOINT = int(os.environ.get("TESTS_SERVED_OBJECTS", "20000"))
MEMORY = 512 << 20
PAGE = 1000
"""Keys of a page, and files of a directory."""
ASKED = re.compile(r'"([A-Z]+) /raw(/?)[^ ]* HTTP/1.1" 20[06] ')
"""A line of the gateway's log: the method, and whether a key follows."""


def pack(directory: Path, environ: dict[str, str], target: str) -> Confined:
    """Pack all objects; the manifest is all that lies in the directory afterwards."""
    directory.mkdir()
    homes = {"HOME": str(directory), "TMPDIR": str(directory)}
    manifest = directory / "manifest"
    command = [sys.executable, "-m", "s3archivefs.cli", "pack", "--manifest", str(manifest)]
    with confined(
        [*command, "s3://raw/in/", target],
        memory=MEMORY,
        may_write=True,
        env=os.environ | environ | homes,
        cwd=directory,
    ) as process:
        assert process.wait() == 0
    print(f"{process.memory >> 20} MiB, {process.processor:.0f} s of processor time")
    assert process.memory <= MEMORY
    assert [*directory.iterdir()] == [manifest]
    return process


def require_packed(image: Path, manifest: Path, count: int, *, are_md5s: bool) -> None:
    """The image holds all objects, and others list it so; the manifest names each."""
    with manifest.open() as lines:
        for number, line in enumerate(lines):
            content = short_content_of(number)
            packed = json.loads(line)
            assert (packed["key"], packed["size"]) == (f"in/{path_of(number)}", len(content))
            if are_md5s:
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                assert packed["etag"] == f'"{md5}"'
        assert number == count - 1
    with s3archivefs.open(image) as fs:
        for number, (path, _, file) in enumerate(fs.walk_files()):
            assert path == f"/{path_of(number)}"
            assert file.read() == short_content_of(number)
        assert number == count - 1
    listed = run_tool("unsquashfs", "-ls", str(image)).stdout
    assert listed.count(b".txt\n") == count


@pytest.mark.timeout(7200)
def test_objects_of_a_gateway_become_an_archive_beside_them(tmp_path: Path) -> None:
    with RadosGateway.start(tmp_path / "gateway") as gateway:
        client = gateway.client()
        client.create_bucket(Bucket="raw", ACL="public-read-write")
        put_many(f"{gateway.url}/raw", "in/", IN_GATEWAY)
        log = tmp_path / "gateway" / "client.admin.log"
        before = log.stat().st_size
        environ = environ_of(gateway.owner, gateway.url)
        pack(tmp_path / "packing", environ, "s3://raw/a.sqfs")
        with log.open() as lines:
            lines.seek(before)
            asked = Counter(found.groups() for line in lines if (found := ASKED.search(line)))
        print(asked)
        pages = IN_GATEWAY // PAGE + 1  # after a full one the gateway says that another follows
        assert asked["GET", ""] == 2 * pages  # at first, for what all of them hold
        assert asked["GET", "/"] == IN_GATEWAY
        assert sum(asked.values()) <= IN_GATEWAY + 2 * pages + 100
        client.download_file("raw", "a.sqfs", str(tmp_path / "a.sqfs"))
    manifest = tmp_path / "packing" / "manifest"
    require_packed(tmp_path / "a.sqfs", manifest, IN_GATEWAY, are_md5s=True)


@pytest.mark.timeout(7200)
def test_objects_of_an_endpoint_become_an_archive(tmp_path: Path) -> None:
    pack_many(tmp_path / "served.sqfs", FROM_ENDPOINT, short=True)
    mapping = f"s3://raw/in={tmp_path / 'served.sqfs'}"
    settings = {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path / "cache")}
    with served("--map", mapping, environ=settings, log=tmp_path / "log") as url:
        environ = environ_of(Credentials("any", "any"), url)
        pack(tmp_path / "packing", environ, str(tmp_path / "a.sqfs"))
    manifest = tmp_path / "packing" / "manifest"
    require_packed(tmp_path / "a.sqfs", manifest, FROM_ENDPOINT, are_md5s=False)
