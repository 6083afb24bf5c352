"""What the commands that look into an image find is what is in it, whatever the tree."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import s3archivefs
from tests.support.command_line import run
from tests.support.drawn.trees import Directory, build_tree, trees
from tests.support.images.fixtures import observe, run_tool

pytestmark = pytest.mark.property
# To explain a failure would take minutes: each of its hundreds of attempts packs an image.
without_explaining = settings(phases=set(Phase) - {Phase.explain})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where each example takes the place of the one before."""
    return tmp_path_factory.mktemp("laws")


def packed(tree: Directory, place: Path) -> Path:
    image = place / "image.sqfs"
    build_tree(tree, image, "mksquashfs")
    return image


@without_explaining
@given(tree=trees())
def test_find_and_du_find_all_of_a_tree(tree: Directory, place: Path) -> None:
    image = packed(tree, place)
    with s3archivefs.open(image) as fs:
        observed = observe(fs)
    found = run("find", "-0", image).written.split(b"\0")[:-1]
    assert sorted(found) == [each.path.encode("utf-8", "surrogateescape") for each in observed]
    (item,) = run("du", "-s", "--json", image).items
    files = [each.size for each in observed if each.kind == "file"]
    assert (item["size"], item["files"]) == (sum(files), len(files))


# ---- Differences ---------------------------------------------------------------------------------


def extracted(image: Path, place: Path) -> Path:
    """The tree that unsquashfs makes of the image."""
    top = place / "extracted"
    shutil.rmtree(top, ignore_errors=True)
    run_tool("unsquashfs", "-quiet", "-no-progress", "-no-xattrs", "-d", str(top), str(image))
    return top


@without_explaining
@given(tree=trees())
def test_image_does_not_differ_from_its_extraction(tree: Directory, place: Path) -> None:
    image = packed(tree, place)
    assert run("diff", "--times", image, extracted(image, place)) == (0, b"", "")
    assert run("diff", "--times", image, image) == (0, b"", "")


def add(path: Path) -> tuple[Path, str]:
    new = (path if path.is_dir() and not path.is_symlink() else path.parent) / "a new name"
    new.touch()
    return new, "only_in_second"


def remove(path: Path) -> tuple[Path, str]:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return path, "only_in_first"


def change(path: Path) -> tuple[Path, str]:
    """Change what the path itself holds."""
    if path.is_symlink():
        target = path.readlink()
        path.unlink()
        path.symlink_to(f"other/{target}")
        return path, "target"
    if path.is_dir():
        path.chmod(0o700)
        return path, "mode"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if content else b"x")
    return path, "content" if content else "size"


@without_explaining
@given(
    tree=trees(),
    choice=st.integers(0, 99),
    mutate=st.sampled_from([add, remove, change]),
)
def test_one_change_of_an_extraction_is_the_one_difference(
    tree: Directory, choice: int, mutate: Callable[[Path], tuple[Path, str]], place: Path
) -> None:
    image = packed(tree, place)
    top = extracted(image, place)
    paths = sorted(top.rglob("*"))
    changed, difference = mutate(paths[choice % len(paths)])
    ran = run("diff", "--json", image, top)
    (item,) = ran.items
    assert (ran.code, ran.errors) == (1, "")
    expected = bytes(changed)[len(bytes(top)) :].decode("utf-8", "replace")
    assert (item["path"], item["difference"]) == (expected, difference)
