"""The trees that tests pack are what they say, and the tools keep them."""

from __future__ import annotations

import os
import stat
import sysconfig
from pathlib import Path

import pytest

from fixtures.tree import device
from tests.support.images.trees import (
    PackError,
    pack,
    sample_tree,
    sparse,
    standard_library_tree,
    write_tree,
)

BLOCK = 4096


def snapshot(tree: Path) -> dict[str, tuple[object, ...]]:
    """Every path of a tree with all that must be the same after packing."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (tree, *tree.rglob("*")):
        status = path.lstat()
        content: object = None
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        found[str(path.relative_to(tree))] = (status.st_mode, status.st_mtime, content)
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tree(sample_tree(BLOCK), tmp_path_factory.mktemp("trees") / "tree")


def test_a_tree_is_written_the_same_each_time(tree: Path, tmp_path: Path) -> None:
    assert snapshot(write_tree(sample_tree(BLOCK), tmp_path / "again")) == snapshot(tree)


def test_the_sample_has_every_kind_of_node(tree: Path) -> None:
    written = snapshot(tree)
    parents = {str(parent) for node in sample_tree(BLOCK) for parent in Path(node.path).parents}
    assert written.keys() == parents | {node.path for node in sample_tree(BLOCK)}
    for node in sample_tree(BLOCK):
        mode, _, content = written[node.path]
        if node.kind == "file":
            assert content == node.content
        elif node.kind == "symlink":
            assert content == node.target
        if node.kind not in {"symlink", "hard_link"}:
            assert isinstance(mode, int)
            assert stat.S_IMODE(mode) == node.mode
    names = [tree / "links" / name for name in ("target", "second name", "inner/third name")]
    assert len({name.stat().st_ino for name in names}) == 1


def test_holes_take_no_space(tmp_path: Path) -> None:
    write_tree(sparse(1 << 17), tmp_path)
    status = (tmp_path / "sparse" / "hole").stat()
    assert (status.st_size, status.st_blocks) == (1 << 19, 0)


def test_what_needs_privileges_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dev/null: a char_device cannot be made"):
        write_tree([device("dev/null", "char_device", 1, 3)], tmp_path)


def test_packing_again_replaces_the_image(tree: Path, tmp_path: Path) -> None:
    for tool in ("mksquashfs", "gensquashfs"):
        size = pack(tree, tmp_path / "image", tool=tool).stat().st_size
        assert pack(tree, tmp_path / "image", tool=tool).stat().st_size == size


def test_a_tool_that_fails_is_quoted(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"mksquashfs of .* status 1: .*block size"):
        pack(tree, tmp_path / "image", block_size=1000)


def test_a_missing_tool_is_named(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(PackError, match="apt-get install squashfs-tools-ng"):
        pack(tree, tmp_path / "image", tool="gensquashfs")


def test_the_standard_library_is_copied_without_what_changes(tmp_path: Path) -> None:
    tree = standard_library_tree(tmp_path / "library")
    original = Path(sysconfig.get_path("stdlib"))
    assert (tree / "json/decoder.py").read_bytes() == (original / "json/decoder.py").read_bytes()
    names = {name for _, directories, _ in os.walk(tree) for name in directories}
    assert not names & {"site-packages", "dist-packages", "__pycache__"}
    assert sum(len(files) for _, _, files in os.walk(tree)) > 500
