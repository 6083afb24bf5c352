"""`mount` and `umount`: what they refuse before they mount; tests/parts/mount mounts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from s3archivefs.cli.exit_codes import DAMAGED, FAULT, NOT_FOUND, USAGE
from tests.support.command_line import run
from tests.support.images.drafts import Draft
from tests.support.images.fixtures import FIXTURES

# Python 3.12 warns of each fork of a process with threads, as pytest-xdist's are.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
IMAGE = FIXTURES["gzip"].image


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((IMAGE, "MISSING"), FAULT, "is not there: make the directory first"),
        ((IMAGE, IMAGE), FAULT, "is no directory: make the directory first"),
        (("missing.sqfs", "DIR"), NOT_FOUND, "missing.sqfs: No such file"),
        ((__file__, "DIR"), DAMAGED, f"{__file__}: not a squashfs image"),
        ((IMAGE, IMAGE, "DIR"), USAGE, f"each needs a path below DIR: PREFIX={IMAGE}"),
        (("a=", "DIR"), USAGE, "each needs a path below DIR"),
        ((f"a={IMAGE}", f"/a/={IMAGE}", "DIR"), USAGE, "two images at the same path: /a/"),
        ((f"a={IMAGE}", f"a/b={IMAGE}", "DIR"), USAGE, "'a/b' lies within another archive"),
        (("-o", "ro,odd", IMAGE, "DIR"), USAGE, "unknown mount option 'odd'"),
        ((f"a={IMAGE}", "b=missing.sqfs", "DIR"), NOT_FOUND, "missing.sqfs: No such file"),
    ],
)
def test_what_cannot_be_mounted_is_said_in_a_line(
    arguments: tuple[object, ...], code: int, said: str, tmp_path: Path
) -> None:
    places = {"DIR": tmp_path, "MISSING": tmp_path / "missing"}
    given = [places.get(each, each) if isinstance(each, str) else each for each in arguments]
    ran = run("mount", "--foreground", *given)
    assert ran.code == code
    assert said in ran.errors
    assert ran.errors.startswith("s3archivefs: ")
    assert ran.errors.count("\n") == 1
    assert not ran.written


def test_an_image_whose_name_has_an_equals_sign_is_one(tmp_path: Path) -> None:
    image = tmp_path / "a=b.sqfs"
    image.write_bytes(b"no image")
    ran = run("mount", "-f", image, tmp_path)
    assert (ran.code, "a=b.sqfs: not a squashfs image" in ran.errors) == (DAMAGED, True)


def test_an_image_whose_root_cannot_be_read_is_not_mounted(tmp_path: Path) -> None:
    draft = Draft(IMAGE.read_bytes())
    draft.data[draft["directory_table_start"] + 2] ^= 0xFF  # of what is compressed
    image = tmp_path / "rootless.sqfs"
    image.write_bytes(draft.data)
    ran = run("mount", "-f", f"a={image}", f"b={IMAGE}", tmp_path / "missing")
    assert (ran.code, ran.errors.startswith(f"s3archivefs: {image}: ")) == (DAMAGED, True)


def test_a_prefix_may_name_the_only_image(tmp_path: Path) -> None:
    ran = run("mount", "-f", "a=missing.sqfs", tmp_path)
    assert (ran.code, ran.errors) == (
        NOT_FOUND,
        "s3archivefs: missing.sqfs: No such file or directory\n",
    )


def test_an_image_that_its_own_tree_would_hide_is_not_followed(tmp_path: Path) -> None:
    image = tmp_path / "below" / "a.sqfs"
    image.parent.mkdir()
    shutil.copy(IMAGE, image)
    (tmp_path / "link").symlink_to(tmp_path)
    ran = run(
        "mount", "-f", "-o", "on_change=follow", tmp_path / "link" / "below" / "a.sqfs", tmp_path
    )
    assert ran.code == FAULT
    assert "which will hide it: to follow it, mount it elsewhere" in ran.errors


@pytest.mark.parametrize("options", [(), ("--lazy",)])
def test_where_nothing_is_mounted_umount_says_so(options: tuple[str, ...], tmp_path: Path) -> None:
    ran = run("umount", *options, tmp_path)
    assert ran.code == FAULT
    assert ran.errors.startswith("s3archivefs: ")
    assert str(tmp_path) in ran.errors
