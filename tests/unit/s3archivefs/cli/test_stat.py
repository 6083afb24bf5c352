from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, Fixture, open_fixture


def whole(item: dict[str, Any], key: str) -> bytes:
    """What is told under a key, which may be no text."""
    stored = item.get(f"{key}_b64")
    return base64.b64decode(stored) if stored else bytes(item[key], "utf-8")


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_json_has_all_that_the_reader_says_of_each_path(fixture: Fixture) -> None:
    paths = [each.path for each in fixture.tree]
    ran = run("stat", "--json", "--offset", fixture.offset, fixture.image, *paths)
    assert (ran.code, ran.errors) == (0, "")
    with open_fixture(fixture) as fs:
        for item, path in zip(ran.items, paths, strict=True):
            stat = fs.stat(path, follow_symlinks=False)
            assert whole(item, "path") == path.encode("utf-8", "surrogateescape")
            assert item["kind"] == stat.kind.name.lower()
            assert (item["size"], item["nlink"]) == (stat.size, stat.nlink)
            assert item["inode"] == stat.inode_number
            xattrs = {whole(each, "name"): whole(each, "value") for each in item["xattrs"]}
            assert xattrs == {
                name.encode(): fs.getxattr(path, name, follow_symlinks=False)
                for name in fs.listxattr(path, follow_symlinks=False)
            }
            if "target" in item:
                assert whole(item, "target").decode("utf-8", "surrogateescape") == fs.readlink(path)
            assert ("blocks" in item) == (item["kind"] == "file")


def test_stat_tells_of_a_symlink_and_where_asked_of_what_it_leads_to() -> None:
    image = FIXTURES["symlinks"].image
    assert run("stat", image, "/chain-3").text.startswith("  File: /chain-3 -> a/b/target.txt\n")
    followed = run("stat", "-L", "--json", image, "/chain-1").items[0]
    assert (followed["path"], followed["kind"], followed["size"]) == ("/chain-1", "file", 11)


def test_stat_goes_on_behind_a_path_that_is_not_there() -> None:
    ran = run("stat", "--json", FIXTURES["symlinks"].image, "/nowhere", "/dangling", "/self")
    assert ran.code == 3
    assert [item["path"] for item in ran.items] == ["/dangling", "/self"]
    assert ran.errors == "s3archivefs: /nowhere: No such file or directory\n"
