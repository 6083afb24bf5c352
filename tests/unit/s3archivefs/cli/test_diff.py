from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.shapes import text
from fixtures.tree import Node, device, directory, fifo, file, symlink
from s3archivefs.cli.sides import side_of
from tests.support.command_line import run
from tests.support.images.drafts import draft
from tests.support.images.fixtures import FIXTURES, Fixture, make_image
from tests.support.images.trees import pack, sample_tree, write_tree

TREE = (
    device("device", "char_device", 1, 3),
    directory("directory", mode=0o750, mtime=5),
    file("directory/inside", b"inside\n"),
    directory("empty"),
    file("file", text(10_000), xattrs={"user.kind": b"a file"}),
    symlink("link", "file"),
    file("second", b"second\n"),
)


@pytest.fixture(scope="module")
def directory_of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("diff")


@pytest.fixture(scope="module")
def image(directory_of_images: Path) -> Path:
    return make_image(directory_of_images, TREE, name="image")


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_image_does_not_differ_from_itself(fixture: Fixture, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(fixture.image.read_bytes()[fixture.offset :])
    assert run("diff", "--times", "--offset", fixture.offset, fixture.image, image) == (0, b"", "")


@pytest.mark.parametrize("name", ["xz", "lz4", "uncompressed", "tar2sqfs-lzma", "no-exports"])
def test_images_of_one_tree_do_not_differ_however_they_are_packed(name: str) -> None:
    assert run("diff", "--times", FIXTURES["gzip"].image, FIXTURES[name].image) == (0, b"", "")


# ---- One difference ------------------------------------------------------------------------------


def changed(path: str, **fields: Any) -> tuple[Node, ...]:  # noqa: ANN401 -- those of Node
    return tuple(replace(node, **fields) if node.path == path else node for node in TREE)


def without(*paths: str) -> tuple[Node, ...]:
    return tuple(node for node in TREE if node.path not in paths)


CONTENT = text(10_000)
CHANGES: dict[str, tuple[tuple[Node, ...], dict[str, object]]] = {
    "mode": (
        changed("directory", mode=0o755),
        {"path": "/directory", "difference": "mode", "first": "0750", "second": "0755"},
    ),
    "owner": (
        changed("second", uid=7, gid=8),
        {"path": "/second", "difference": "owner", "first": "0:0", "second": "7:8"},
    ),
    "mtime": (
        changed("directory", mtime=6),
        {"path": "/directory", "difference": "mtime", "first": 5, "second": 6},
    ),
    "size": (
        changed("directory/inside", content=b"inside"),
        {"path": "/directory/inside", "difference": "size", "first": 7, "second": 6},
    ),
    "content": (
        changed("file", content=CONTENT[:-1] + b"!"),
        {"path": "/file", "difference": "content"},
    ),
    "target": (
        changed("link", target="\udcfe"),
        {
            "path": "/link",
            "difference": "target",
            "first": "file",
            "second": "\ufffd",
            "second_b64": "/g==",
        },
    ),
    "device": (
        changed("device", rdev=(1, 70_000)),
        {"path": "/device", "difference": "device", "first": "1:3", "second": "1:70000"},
    ),
    "kind": (
        (*without("second"), fifo("second")),
        {"path": "/second", "difference": "kind", "first": "file", "second": "fifo"},
    ),
    "value": (
        changed("file", xattrs={"user.kind": b""}),
        {
            "path": "/file",
            "difference": "xattr",
            "name": "user.kind",
            "first": "a file",
            "second": "",
        },
    ),
    "attribute": (
        changed("file", xattrs={}),
        {"path": "/file", "difference": "xattr", "name": "user.kind", "first": "a file"},
    ),
    "gone": (
        without("directory", "directory/inside"),
        {"path": "/directory", "difference": "only_in_first"},
    ),
    "new": (
        (*TREE, file("directory/-new")),
        {"path": "/directory/-new", "difference": "only_in_second"},
    ),
}


@pytest.mark.parametrize(("tree", "difference"), CHANGES.values(), ids=CHANGES)
def test_one_change_is_the_one_difference(
    tree: tuple[Node, ...], difference: dict[str, object], image: Path, directory_of_images: Path
) -> None:
    other = make_image(directory_of_images, tree, name="other")
    ran = run("diff", "--times", "--json", image, other)
    assert (ran.code, ran.items, ran.errors) == (1, [difference], "")
    lines = run("diff", "--times", image, other)
    assert (lines.code, lines.text.count("\n")) == (1, 1)
    swapped = run("diff", "--times", "--json", other, image)
    assert [item["path"] for item in swapped.items] == [difference["path"]]


def test_differences_are_told_in_the_manner_of_diff(
    image: Path, directory_of_images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = changed("directory/inside", content=b"", mode=0o600, xattrs={"user.\n": b"x"})
    make_image(directory_of_images, (*tree, file("directory/-new")), name="other")
    monkeypatch.chdir(directory_of_images)
    inside = "Files image.sqfs/directory/inside and other.sqfs/directory/inside"
    assert run("diff", "image.sqfs", "other.sqfs").text == (
        "Only in other.sqfs/directory: \\x2dnew\n"
        f"{inside} differ: mode 0644, 0600\n"
        f"{inside} differ: size 7, 0\n"
        f"{inside} differ: xattr user.\\x0a\n"
    )


def test_owners_and_times_are_compared_as_asked(image: Path, directory_of_images: Path) -> None:
    tree = changed("second", uid=7, mtime=9)
    other = make_image(directory_of_images, tree, name="other")

    def found(*options: str) -> list[object]:
        return [item["difference"] for item in run("diff", "--json", *options, image, other).items]

    assert found() == ["owner"]
    assert found("--times") == ["owner", "mtime"]
    assert found("--no-owners") == []


def test_paths_inside_are_compared_with_each_other(image: Path, directory_of_images: Path) -> None:
    other = make_image(directory_of_images, without("file"), name="other")
    assert run("diff", f"{image}/directory", f"{other}/directory").code == 0
    assert run("diff", f"{image}/directory/inside", f"{other}/directory/inside").code == 0
    ran = run("diff", "--json", f"{image}/directory/inside", f"{image}/second")
    assert [(item["path"], item["difference"]) for item in ran.items] == [("/", "content")]
    (item,) = run("diff", "--json", f"{image}/empty", f"{image}/file").items
    assert (item["path"], item["difference"]) == ("/", "kind")


# ---- A directory ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(directory_of_images: Path) -> tuple[Path, Path]:
    """A tree on disk, and an image of it."""
    top = write_tree(sample_tree(4096), directory_of_images / "tree")
    return top, pack(top, directory_of_images / "of-tree.sqfs", block_size=4096)


def test_image_does_not_differ_from_the_directory_that_it_holds(
    written: tuple[Path, Path],
) -> None:
    top, image = written
    assert run("diff", "--owners", "--times", image, top) == (0, b"", "")
    assert run("diff", "--owners", "--times", top, image) == (0, b"", "")
    assert run("diff", f"{image}/links/inner", top / "links" / "inner").code == 0


@pytest.mark.parametrize("options", [[], ["--owners"]])
def test_order_of_image_and_directory_decides_nothing(
    options: list[str], image: Path, tmp_path: Path
) -> None:
    tree = changed("directory", uid=7, mode=0o700)
    other = make_image(tmp_path, tree)
    assert run("extract", image, "/directory", "/link", "-C", tmp_path / "out").code == 0
    trees = f"{other}/directory", tmp_path / "out" / "directory"
    found = [
        {
            (item["path"], item["difference"])
            for item in run("diff", "--json", *options, *pair).items
        }
        for pair in (trees, trees[::-1])
    ]
    assert found[0] == found[1]
    assert ("/", "mode") in found[0]
    assert (("/", "owner") in found[0]) == bool(options)


def test_two_directories_are_not_compared(tmp_path: Path) -> None:
    ran = run("diff", tmp_path, tmp_path)
    assert (ran.code, ran.text) == (2, "")
    assert ran.errors == "s3archivefs: neither is an image: diff -r compares two directories\n"


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


MUTATIONS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "blocks/4095": ("size", lambda path: path.write_bytes(b"")),
    "blocks/4096": ("content", lambda path: path.write_bytes(bytes(4096))),
    "sparse/hole": ("mode", lambda path: path.chmod(0o444)),
    "empties/file": ("only_in_first", Path.unlink),
    "links/inner/new": ("only_in_second", Path.touch),
    "odd names/-dash": ("kind", lambda path: replaced(path, Path.mkdir)),
    "links/up": ("target", lambda path: replaced(path, lambda path: path.symlink_to("elsewhere"))),
}


@pytest.mark.parametrize("path", MUTATIONS)
def test_one_change_of_a_directory_is_the_one_difference(
    path: str, written: tuple[Path, Path], tmp_path: Path
) -> None:
    difference, change = MUTATIONS[path]
    change(write_tree(sample_tree(4096), tmp_path / "copy") / path)
    ran = run("diff", "--json", written[1], tmp_path / "copy")
    assert [(each["path"], each["difference"]) for each in ran.items] == [(f"/{path}", difference)]
    assert (ran.code, ran.errors) == (1, "")


# ---- Symlinks that are named ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def linked(directory_of_images: Path) -> Path:
    """An image with symlinks, and the same tree on disk beside it."""
    tree = (
        *(directory("d"), file("d/in", b"1"), file("file", b"2"), directory("other")),
        *(symlink("d/inner", "../file"), symlink("broken", "nowhere")),
        *(symlink("link", "d"), symlink("file-link", "file")),
    )
    made = make_image(directory_of_images, tree, name="linked")
    assert run("extract", made, "-C", directory_of_images / "linked-tree").code == 0
    return made


@pytest.mark.parametrize(
    ("one", "other"), [("link", "d"), ("link", "link"), ("d", "link/"), ("link", "other")]
)
def test_symlink_to_a_directory_that_is_named_is_followed_in_images_and_on_disk(
    one: str, other: str, linked: Path
) -> None:
    disk = linked.parent / "linked-tree"
    real = subprocess.run(["diff", "-rq", one, other], cwd=disk, capture_output=True, check=False)
    expected = real.stdout.decode().splitlines()
    for pair in ((linked, linked), (linked, disk), (disk, linked)):
        ran = run("diff", f"{pair[0]}/{one}", f"{pair[1]}/{other}")
        assert (ran.code, ran.errors) == (real.returncode, "")
        assert ran.text.replace(f"{linked}/", "").replace(f"{disk}/", "").splitlines() == expected


def test_symlink_to_a_file_that_is_named_is_followed(linked: Path) -> None:
    assert run("diff", f"{linked}/file-link", f"{linked}/file") == (0, b"", "")
    ran = run("diff", "--json", f"{linked}/file-link", f"{linked}/d/in")
    assert [(item["path"], item["difference"]) for item in ran.items] == [("/", "content")]
    ran = run("diff", f"{linked}/broken", f"{linked}/broken")
    assert (ran.code, ran.errors) == (3, "s3archivefs: /broken: No such file or directory\n")


# ---- Faults --------------------------------------------------------------------------------------


def test_what_is_not_there_is_trouble_and_no_difference(image: Path, tmp_path: Path) -> None:
    for pair in ((image, tmp_path / "none"), (tmp_path / "none", image)):
        ran = run("diff", *pair)
        assert (ran.code, ran.text) == (3, "")
        assert ran.errors == f"s3archivefs: {tmp_path}/none: No such file or directory\n"
    assert run("diff", image, f"{image}/none").code == 3
    (tmp_path / "text").write_text("no image")
    assert run("diff", image, tmp_path / "text").code == 4
    assert run("diff", image, "/proc/self/mem").code == 2


def test_damaged_content_is_trouble_and_names_the_file(image: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(image.read_bytes())
    with damaged.open("r+b") as opened:
        opened.seek(96)  # where the one data block begins
        opened.write(b"\xff" * 8)
    ran = run("diff", image, damaged)
    assert ran.code == 4
    assert f"s3archivefs: {damaged}/file: " in ran.errors
    assert ran.errors.count("\n") == 1
    assert ran.text == ""


def test_contents_are_never_whole_in_memory(tmp_path: Path) -> None:
    content = bytes(9 << 20) + b"x"
    image = make_image(tmp_path, (file("large", content),), "-b", "1M")
    (tmp_path / "large").write_bytes(content)
    for location in (f"{image}/large", str(tmp_path)):
        with side_of(location, 0) as side:
            node = side.top if side.is_image else next(side.entries(side.top, 0))
            pieces = [*side.pieces(node)]
            assert b"".join(pieces) == content
            assert max(map(len, pieces)) <= 4 << 20


def test_damaged_directory_is_trouble_and_what_follows_in_it_no_difference(tmp_path: Path) -> None:
    tree = (directory("d"), file("d/aa"), file("d/bb"), file("d/cc"), file("z"))
    sound = draft(tmp_path, tree)
    (tmp_path / "sound").write_bytes(sound.data)
    sound.data[sound.entry(b"bb") + 8] = ord("\x01")  # before "aa"
    damaged = tmp_path / "damaged"
    damaged.write_bytes(sound.data)
    for pair in ((tmp_path / "sound", damaged), (damaged, tmp_path / "sound")):
        ran = run("diff", *pair)
        assert (ran.code, ran.text) == (4, "")
        assert ran.errors.startswith(f"s3archivefs: {damaged}/d: directory names ")
        assert ran.errors.count("\n") == 1


def test_symlink_to_a_directory_on_disk_is_that_directory(
    written: tuple[Path, Path], tmp_path: Path
) -> None:
    top, image = written
    link = tmp_path / "link"
    link.symlink_to(top)
    assert run("diff", image, link) == (0, b"", "")
    only = run("diff", f"{image}/empties", link).text
    assert f"Only in {link}: blocks\n" in only
