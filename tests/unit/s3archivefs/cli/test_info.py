from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import s3archivefs
from fixtures.tree import file
from s3archivefs.cli import main
from s3archivefs.format import SuperblockFlags
from tests.support.images.drafts import edited
from tests.support.images.fixtures import FIXTURES, make_image

COSTS_TIME = "takes 8 to 15 times zstd's processor time in each read, to save 4 to 9 % of size"
ARE_SMALL = "make an image larger, by a fifth at 16K, and a directory takes more requests"
READABLE = [name for name, fixture in FIXTURES.items() if not fixture.offset]


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def described(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["info", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_info_says_what_the_image_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", image("xz-options")]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{image('xz-options')}: squashfs 4.0 image, made 2020-09-13 12:26:40 UTC",
        "size         5,664 bytes, and 2,528 of padding",
        "compression  xz (dictionary size 8192, filters 9)",
        "blocks       8,192 bytes",
        "holds        11 inodes, 3 fragments",
        "content      --scan tells: it reads 586 of metadata",
        "metadata     586 bytes: inodes 218, directories 194, fragments 58, exports 94, ids 22",
        "flags        duplicates, exportable, compressor options",
        "in S3        the first request brings all metadata",
        f"advice       xz {COSTS_TIME}: pack with -comp zstd",
        f"advice       blocks of 8.0K {ARE_SMALL}: pack with -b 128K",
    ]


@pytest.mark.parametrize("name", READABLE)
def test_json_agrees_with_the_superblock(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = described(capsys, image(name))
    with s3archivefs.open(image(name)) as fs:
        superblock = fs.superblock
    assert found["image"] == image(name)
    assert found["size"] + found["padding"] == Path(image(name)).stat().st_size
    assert found["compressor"] == superblock.compression.name.lower()
    assert found["metadata"] == sum(found["tables"].values())
    assert found["inodes"] == superblock.inode_count
    assert sum(SuperblockFlags[flag.upper()] for flag in found["flags"]) == superblock.flags
    assert "files" not in found


@pytest.mark.parametrize("name", ["gzip", "hard-links", "sparse", "empty", "symlinks"])
def test_a_scan_counts_content_once_for_all_links(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = described(capsys, "--scan", image(name))
    with s3archivefs.open(image(name)) as fs:
        sizes = {stat.reference: stat.size for _, stat, _ in fs.walk_files("/")}
        content = sum(sizes.values())
        ratio = round(fs.superblock.bytes_used / content, 4) if content else None
    assert (found["files"], found["content"], found["ratio"]) == (len(sizes), content, ratio)


def test_a_scan_says_how_far_content_is_compressed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--scan", image("gzip")]) == 0
    line = "content      13,788 bytes in 6 files, of which the image takes 41.6%\n"
    assert line in capsys.readouterr().out


def test_an_image_packed_well_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = make_image(tmp_path, (file("a", b"content"),), "-comp", "zstd", "-b", "128K")
    assert main(["info", str(packed)]) == 0
    line = "advice       none: it is packed well for remote reading\n"
    assert capsys.readouterr().out.endswith(line)


def test_options_of_an_unknown_layout_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = edited("xz-options")
    draft.put(96, "H", 0x8000 | 6)  # the size of the options that follow
    (tmp_path / "a.sqfs").write_bytes(draft.data)
    assert described(capsys, str(tmp_path / "a.sqfs"))["compressor_options"] is None


def test_what_the_device_remarks_is_advice(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        s3archivefs.FileDevice, "remarks", lambda _: ["move it closer"], raising=False
    )
    advice = described(capsys, image("zstd"))["advice"]
    assert {"rule": "store", "text": "move it closer"} in advice
