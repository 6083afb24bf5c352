"""Hostile images leave nothing outside the target, whoever extracts them and however.

Row by row the attacks of PEP 706's tests of tarfile, and what the squashfs tools fell for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest

import s3archivefs
import s3archivefs.extraction.extraction  # a user who is not root may not be able to
from s3archivefs import (
    AbsoluteLinkError,
    CorruptImageError,
    FilterError,
    LinkOutsideDestinationError,
    OutsideDestinationError,
    SpecialFileError,
)
from tests.support.images.built import Link, build, directory, file, special, symlink
from tests.support.images.extracted import opened, tree_of
from tests.support.processes.as_user import as_user

if TYPE_CHECKING:
    from tests.support.images.built import Image, Node

EVIL = file(b"evil")


def image(**children: Node | Link) -> Image:
    """An image of these children, in this order."""
    return build(directory({name.encode(): node for name, node in children.items()}, mode=0o755))


def named(name: bytes) -> Image:
    """An image with a file of that name, which no directory may hold."""
    return build(directory({name: EVIL}, mode=0o755))


def loop() -> Image:
    """A directory within itself."""
    inner = directory(mode=0o755)
    inner.children[b"again"] = Link(inner)
    return image(d=inner)


def twice(first: Node, second: Node) -> Image:
    """Two entries of one name, the second to be written through the first (CVE-2021-41072)."""
    return image(d=directory({b"xA": first, b"xB": second}, mode=0o755))


def same_names(made: Image) -> Image:
    """The names of `twice` made the same."""
    at = made.data.index(b"xB", made.table("directory"))
    made.data[at : at + 2] = b"xA"
    return made


Errors: TypeAlias = dict[str, type[Exception] | tuple[type[Exception], ...]]
UNSOUND: Errors = {"data": CorruptImageError, "tar": CorruptImageError}
SHAPES: dict[str, tuple[Image, Errors]] = {
    # Names (squashfs-tools #72, CVE-2021-40153)
    "absolute name": (named(b"/tmp/evil"), UNSOUND),
    "name with a slash": (named(b"a/b"), UNSOUND),
    "name of dots": (named(b".."), UNSOUND),
    "name that climbs": (named(b"../../evil"), UNSOUND),
    "name with NUL": (named(b"a\0b"), UNSOUND),
    # Two of one name (CVE-2021-41072)
    "file through a symlink": (
        same_names(twice(symlink(b"../outside/victim"), EVIL)),
        UNSOUND,
    ),
    "directory through a symlink": (
        same_names(twice(symlink(b"../../outside"), directory({b"evil": EVIL}))),
        # The link stands before the fault.
        {"data": (CorruptImageError, LinkOutsideDestinationError), "tar": CorruptImageError},
    ),
    "directory in itself": (loop(), UNSOUND),
    # Links (test_tarfile: absolute_symlink, parent_symlink, chains_of_symlinks, sly_relative)
    "absolute link": (image(l=symlink(b"/etc/passwd")), {"data": AbsoluteLinkError}),
    "link to above": (image(l=symlink(b"../outside")), {"data": LinkOutsideDestinationError}),
    "link that turns back": (
        image(d=directory({b"l": symlink(b"../d/../../outside")})),
        {"data": LinkOutsideDestinationError},
    ),
    "link by way of a link": (
        image(a=directory({b"up": symlink(b"..")}), b=symlink(b"a/up/../outside")),
        {"data": LinkOutsideDestinationError},
    ),
    "link by way of a long path (CVE-2025-4517)": (
        image(l=symlink(b"/".join([b"d" * 200] * 15 + [b".."] * 16) + b"/outside")),
        {"data": LinkOutsideDestinationError},
    ),
    "device": (image(null=special(5, rdev=0x103)), {"data": SpecialFileError}),
    "disk": (image(disk=special(4, rdev=0x800)), {"data": SpecialFileError}),
    "fifo": (image(fifo=special(6)), {"data": SpecialFileError}),
    "socket": (image(socket=special(7)), {"data": SpecialFileError}),
}  # fmt: skip


def place(top: Path) -> Path:
    """A target, and beside it what must stay as it is."""
    (top / "outside").mkdir()
    (top / "outside/victim").write_bytes(b"precious")
    (top / "target").mkdir()
    return top / "target"


@pytest.mark.parametrize("user", ["as we are", "as a user"])
@pytest.mark.parametrize("trust", ["data", "tar", "fully-trusted"])
@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_is_left_outside(shape: str, trust: str, user: str, tmp_path: Path) -> None:
    built, errors = SHAPES[shape]

    def attack() -> tuple[list[Exception], object]:
        top = Path()
        target = place(top)
        (target / "mine").symlink_to("../outside")
        found: list[Exception] = []
        with opened(built) as fs:
            for existing in ("error", "keep", "replace"):
                fs.extract(
                    "/",
                    target,
                    filter=trust,
                    existing=existing,
                    on_error=lambda _, error: found.append(error),
                )
        return found, tree_of(top / "outside")

    if user == "as a user":
        raised, outside = as_user(tmp_path, attack)
    else:
        before = Path.cwd()
        os.chdir(tmp_path)
        try:
            raised, outside = attack()
        finally:
            os.chdir(before)
    assert outside == {"victim": b"precious"}
    made = tree_of(tmp_path / "target")
    assert b"evil" not in made.values()
    expected = errors.get("data" if trust == "data" else "tar")
    if expected is not None:
        assert raised
        kinds = expected if isinstance(expected, tuple) else (expected,)
        assert {type(error) for error in raised} == {*kinds}
        assert made == {"mine": "../outside"} or shape.startswith(("d", "link")) or "d" in made
    elif user == "as a user" and errors["data"] is SpecialFileError:
        assert {type(error) for error in raised} == {SpecialFileError}
        assert made == {"mine": "../outside"}


def test_what_the_target_holds_is_no_way_out(tmp_path: Path) -> None:
    """Symlinks that stand in the target (squashfs-tools #363, #364, #403)."""
    target = place(tmp_path)
    (target / "d").symlink_to("../outside")
    (target / "f").symlink_to("../outside/victim")
    built = image(d=directory({b"victim": EVIL}, mode=0o777), f=EVIL)
    found: list[type[Exception]] = []
    for existing in ("error", "keep"):
        opened(built).extract(
            "/",
            target,
            existing=existing,
            on_error=lambda _, error: found.append(type(error)),
        )
    assert found == [OutsideDestinationError, FileExistsError, OutsideDestinationError]
    assert tree_of(tmp_path / "outside") == {"victim": b"precious"}
    opened(built).extract("/", target, existing="replace")
    assert tree_of(tmp_path / "outside") == {"victim": b"precious"}
    assert tree_of(target) == {"d": None, "d/victim": b"evil", "f": b"evil"}


def test_what_is_put_into_the_target_meanwhile_is_no_way_out(tmp_path: Path) -> None:
    """Someone who may write there replaces directories by symlinks as they are made."""
    target = place(tmp_path)
    many = {b"%03d" % number: directory({b"victim": EVIL}) for number in range(200)}

    def meddling(member: s3archivefs.Member, _: str) -> s3archivefs.Member:
        made = target / member.name
        if member.kind is s3archivefs.FileKind.FILE and made.parent.is_dir():
            made.parent.rename(tmp_path / f"gone{member.name.replace('/', '-')}")
            made.parent.symlink_to("../outside")
        return member

    opened(build(directory(many))).extract(
        "/", target, filter=meddling, existing="replace", on_error=lambda *_: None
    )
    assert tree_of(tmp_path / "outside") == {"victim": b"precious"}
    assert any(path.is_symlink() for path in target.iterdir())


@pytest.mark.parametrize("name", ["..", "a/..", ".", "", "/a"])
def test_no_filter_gives_a_name_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    fs = opened(image(d=directory(), f=EVIL))
    refused: list[Exception] = []
    fs.extract(
        "/",
        tmp_path / "target",
        filter=lambda member, _: member.replace(name=name) if member.name != "." else member,
        on_error=lambda _, error: refused.append(error),
    )
    assert len(refused) == 2
    assert all(isinstance(error, FilterError) for error in refused)
    assert tree_of(tmp_path) == {"target": None}


def test_special_bits_are_for_root_and_those_who_ask(tmp_path: Path) -> None:
    def modes() -> dict[str, list[int]]:
        found = {}
        built = image(d=directory(mode=0o7777), f=file(b"#!", mode=0o7777))
        for trust in ("data", "tar", "fully-trusted"):
            opened(built).extract("/", trust, filter=trust)
            found[trust] = [Path(trust, name).stat().st_mode & 0o7777 for name in "df"]
        return found

    assert as_user(tmp_path, modes) == {
        "data": [0o755, 0o755],
        "tar": [0o755, 0o755],
        "fully-trusted": [0o1777, 0o1777],
    }


def test_owners_are_for_root(tmp_path: Path) -> None:
    built = build(directory({b"f": file(b"mine", uid=1)}, mode=0o755), ids=(0, 1234))

    def owner() -> tuple[int, str]:
        opened(built).extract("/", "plain", filter="tar")
        with pytest.raises(PermissionError) as caught:
            opened(built).extract("/", "asked", filter="tar", owner=True)
        return Path("plain/f").stat().st_uid, str(caught.value)

    uid, said = as_user(tmp_path, owner)
    assert uid == tmp_path.stat().st_uid
    assert "owner=True is for root" in said
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(
    ("owner", "changes", "mode"),
    [(False, {}, 0o1777), (True, {}, 0o7777), (True, {"gid": None}, 0o5777)],
)
def test_rights_of_an_owner_are_restored_with_the_owner(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: bool,  # noqa: FBT001 -- a parameter of pytest
    changes: dict[str, object],
    mode: int,
) -> None:
    """A user's setuid file would be root's, if the mode were restored alone."""
    made: set[int] = set()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "chown", lambda *_: None)
    monkeypatch.setattr(os, "fchmod", lambda _, wanted: made.add(wanted))
    built = image(d=directory(mode=0o7777), f=file(b"#!", mode=0o7777))
    opened(built).extract(
        "/", tmp_path, filter=lambda member, _: member.replace(**changes), owner=owner
    )
    assert made == {0o755, mode}  # that of the directory in progress, and of both at the end
