"""Images in S3 lose their dead data, most of the rest copied by the store."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import s3archivefs
from tests.support.adapter.uploads import BUCKET, PART_BYTES, Store

if TYPE_CHECKING:
    from pathlib import Path

URL = f"s3://{BUCKET}/a.sqfs"
MIB = 1 << 20
SIZES = {"a": 10, "b": 1, "c": 1, "d": 1, "e": 9}
"""Of each file its size in MiB: what the store copies, and what is too short for that."""
BLOCK = 4096
LONG_RUNS = {"keep/1000": 11 * 256, "keep/1001": 5 * 256, "keep/2000": 11 * 256}
"""Of some files their sizes in blocks, of which all others have two."""


def test_what_is_left_is_copied_or_sent_and_the_rest_is_gone(
    uploads: Store, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    contents = {name: Random(name).randbytes(size * MIB) for name, size in SIZES.items()}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    uploads.run("pack", source, URL, "--compressor", "none")
    uploads.run("remove", URL, "/b", "/d")
    stored = uploads.hash("a.sqfs")
    written = uploads.run("compact", URL)
    assert written.endswith(" are dead, 9.1%, less than the 10 % of --threshold\n")
    planned = json.loads(uploads.run("compact", URL, "--threshold", "5", "--dry-run", "--json"))
    assert uploads.hash("a.sqfs") == stored

    uploads.proxy.reset()
    done = json.loads(uploads.run("compact", URL, "--threshold", "5", "--json"))
    assert done == planned | {"dry_run": False, "compacted": True}
    assert done["dead"] == 2 * MIB
    # Of the first run what the first part leaves, of the last what its neighbour needs to be one.
    assert done["copied"] == (10 - 5 + 9 - 4) * MIB + 96
    # A store that knows no condition for completing an upload is asked again.
    assert len(uploads.proxy.requests) - done["requests"] in {0, 1}
    assert uploads.unfinished() == []

    path = tmp_path / "stored.sqfs"
    uploads.store.client().download_file(BUCKET, "a.sqfs", str(path))
    assert uploads.superblock("a.sqfs") == path.read_bytes()[:96]
    with s3archivefs.open(path) as fs:
        assert [*fs.verify()] == []
        found = {name[1:]: content.read() for name, _, content in fs.walk_files()}
    assert found == {name: contents[name] for name in "ace"}


def test_thousands_of_short_runs_are_fetched_together_and_sent_in_whole_parts(
    uploads: Store, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    for name in ("keep", "drop"):
        (source / name).mkdir(parents=True)
    contents, order = {}, []
    for number in range(3000):
        for name in (f"keep/{number}", f"drop/{number}"):
            size = LONG_RUNS.get(name, 2) * BLOCK
            contents[f"/{name}"] = Random(name).randbytes(size)
            (source / name).write_bytes(contents[f"/{name}"])
            order.append(name)
    (tmp_path / "order").write_text("\n".join(order))
    manner = ("--compressor", "none", "--block-size", BLOCK, "--order", tmp_path / "order")
    uploads.run("pack", *manner, source, URL)
    uploads.run("remove", URL, "/drop")
    planned = json.loads(uploads.run("compact", URL, "--dry-run", "--json"))
    uploads.proxy.reset()
    done = json.loads(uploads.run("compact", URL, "--json"))
    assert done == planned | {"dry_run": False, "compacted": True}
    assert done["dead"] == 3000 * 2 * BLOCK
    # Each long run is copied, but for what its neighbours before it need to be a part.
    assert sum(LONG_RUNS.values()) * BLOCK - 2 * PART_BYTES < done["copied"]
    assert done["requests"] < 50
    # A store that knows no condition for completing an upload is asked again.
    assert len(uploads.proxy.requests) - done["requests"] in {0, 1}
    assert uploads.unfinished() == []

    path = tmp_path / "stored.sqfs"
    uploads.store.client().download_file(BUCKET, "a.sqfs", str(path))
    assert uploads.superblock("a.sqfs") == path.read_bytes()[:96]
    with s3archivefs.open(path) as fs:
        assert [*fs.verify()] == []
        found = {name: content.read() for name, _, content in fs.walk_files()}
    assert found == {name: contents[name] for name in contents if name.startswith("/keep/")}
