"""The filters: what of a member each keeps, changes and refuses, as PEP 706 has it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import (
    AbsoluteLinkError,
    AbsolutePathError,
    ExtractionError,
    FileKind,
    FilterError,
    LinkOutsideDestinationError,
    Member,
    NameCollisionError,
    OutsideDestinationError,
    SpecialFileError,
    SquashfsError,
    data_filter,
    fully_trusted_filter,
    tar_filter,
)
from tests.support.images.built import build, directory, file
from tests.support.images.extracted import opened

SPECIAL = (FileKind.BLOCK_DEVICE, FileKind.CHAR_DEVICE, FileKind.FIFO, FileKind.SOCKET)


def member(
    name: str = "a/b", kind: FileKind = FileKind.FILE, mode: int | None = 0o644, linkname: str = ""
) -> Member:
    return Member(name, kind, mode, 1000, 1001, 5, 3, linkname, "/" + name)


def link(name: str, target: str) -> Member:
    return member(name, FileKind.SYMLINK, 0o777, target)


@pytest.mark.parametrize(
    ("kind", "mode", "tar", "data"),
    [
        (FileKind.FILE, 0o644, 0o644, 0o644),
        (FileKind.FILE, 0o6777, 0o755, 0o755),
        (FileKind.FILE, 0o1666, 0o644, 0o644),
        (FileKind.FILE, 0o000, 0o000, 0o600),
        (FileKind.FILE, 0o055, 0o055, 0o644),  # not for its owner to execute: for nobody
        (FileKind.FILE, 0o155, 0o155, 0o755),
        (FileKind.FILE, None, None, None),
        (FileKind.DIRECTORY, 0o7777, 0o755, 0o755),
        (FileKind.DIRECTORY, 0o000, 0o000, 0o700),
        (FileKind.DIRECTORY, 0o750, 0o750, 0o750),
    ],
)
def test_modes_are_made_harmless(
    kind: FileKind, mode: int | None, tar: int | None, data: int | None
) -> None:
    given_member = member(kind=kind, mode=mode)
    assert fully_trusted_filter(given_member, "/t") is given_member
    assert tar_filter(given_member, "/t").mode == tar
    assert data_filter(given_member, "/t").mode == data


def test_data_has_no_owner_and_is_else_the_same() -> None:
    filtered = data_filter(member(), "/t")
    assert filtered == member().replace(uid=None, gid=None)
    assert tar_filter(member(), "/t") == member()


@pytest.mark.parametrize("kind", SPECIAL)
def test_data_is_no_device_fifo_or_socket(kind: FileKind) -> None:
    special = member(kind=kind)
    assert fully_trusted_filter(special, "/t") is special
    assert tar_filter(special, "/t") == special
    with pytest.raises(SpecialFileError, match=kind.name.lower().partition("_")[0]):
        data_filter(special, "/t")


@pytest.mark.parametrize("name", ["/etc/passwd", "//a"])
def test_absolute_names_are_refused(name: str) -> None:
    for refusing in (tar_filter, data_filter):
        with pytest.raises(AbsolutePathError):
            refusing(member(name), "/t")


@pytest.mark.parametrize("name", ["..", "../a", "a/../../b", "a/.."])
def test_names_that_lead_out_are_refused(name: str) -> None:
    for refusing in (tar_filter, data_filter):
        with pytest.raises(OutsideDestinationError):
            refusing(member(name), "/t")


@pytest.mark.parametrize("name", ["a..b", "...", "a/..b"])
def test_names_with_dots_are_names(name: str) -> None:
    assert data_filter(member(name), "/t").name == name


@pytest.mark.parametrize("target", ["/", "/etc/passwd", "//x"])
def test_data_has_no_absolute_links(target: str) -> None:
    with pytest.raises(AbsoluteLinkError, match="the filter tar keeps it"):
        data_filter(link("a/b/c", target), "/t")
    assert tar_filter(link("a/b/c", target), "/t").linkname == target


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a", ".."),
        ("a", "../x"),
        ("a/b", "../.."),
        ("a/b", "./..//../x"),
        ("a//b", "../.."),  # as another filter may name it
        ("./b", ".."),
        # Behind a name, which may be a symlink, the way up may be another.
        ("a/b/c", "d/.."),
        ("a/b/c", "../d/../../../x"),
        ("a", "b/../c"),
    ],
)
def test_data_has_no_links_that_may_lead_out(name: str, target: str) -> None:
    with pytest.raises(LinkOutsideDestinationError):
        data_filter(link(name, target), "/t")
    assert tar_filter(link(name, target), "/t").linkname == target


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("a", "b"),
        ("a", "."),
        ("a/b", ".."),
        ("a/b/c", "../../x/y"),
        ("a", "..b"),
        ("a/b", "../a/b"),
    ],
)
def test_data_has_the_links_that_stay_within(name: str, target: str) -> None:
    assert data_filter(link(name, target), "/t").linkname == target


_NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", ""]), min_size=1, max_size=6)


@pytest.mark.property
@given(depth=st.integers(0, 3), target=_NAMES.map("/".join).filter(bool))
def test_a_link_that_is_kept_leads_nowhere_but_within(depth: int, target: str) -> None:
    """Wherever the names of a target lead, be they symlinks to the top, it stays inside."""
    try:
        kept = data_filter(link("/".join(["d"] * depth + ["link"]), target), "/t")
    except FilterError:
        return
    assert not kept.linkname.startswith("/")
    here = depth  # levels below the target; the worst that a name may do is to lead to the top
    for name in kept.linkname.split("/"):
        if name == "..":
            here -= 1
        elif name not in {"", "."}:
            here = 0
        assert here >= 0


def test_errors_have_the_names_and_the_tree_of_tarfile() -> None:
    parents = {
        AbsolutePathError: FilterError,
        OutsideDestinationError: FilterError,
        SpecialFileError: FilterError,
        AbsoluteLinkError: FilterError,
        LinkOutsideDestinationError: FilterError,
        FilterError: ExtractionError,
        NameCollisionError: ExtractionError,
        ExtractionError: SquashfsError,
    }
    assert {kind: kind.__mro__[1] for kind in parents} == parents


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"name": None}, TypeError, "name None"),
        ({"name": b"f"}, TypeError, "name b'f'"),
        ({"name": "a\0"}, ValueError, "name 'a"),
        ({"linkname": "a\0"}, ValueError, "linkname 'a"),
        ({"mode": "rw"}, TypeError, "mode 'rw'"),
        ({"mode": 0o10000}, ValueError, "mode 4096: give 0 to 4095"),
        ({"uid": -5}, ValueError, "uid -5"),
        ({"gid": 2**32}, ValueError, "gid 4294967296"),
        ({"mtime": 2**70}, ValueError, "mtime 1180591620717411303424"),
        ({"mtime": 0.5}, TypeError, "mtime 0.5"),
    ],
)
def test_what_a_function_may_not_return_is_named(
    changes: dict[str, object], error: type[Exception], says: str, tmp_path: Path
) -> None:
    fs = opened(build(directory({b"f": file(b"f")})))
    with pytest.raises(error, match=rf"^the filter's answer for /f has {says}"):
        fs.extract("/f", tmp_path, filter=lambda member, _: member.replace(**changes))
    with pytest.raises(TypeError, match=r"^the filter's answer for /f is True"):
        fs.extract("/f", tmp_path, filter=lambda *_: True)  # type: ignore[arg-type]  # on purpose


def test_errors_say_which_member_in_one_line_and_cross_processes() -> None:
    error = SpecialFileError("a\nb", "a fifo")
    assert str(error) == r"a\x0ab: a fifo"
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 -- its own bytes
    assert (type(copied), copied.name, str(copied)) == (SpecialFileError, "a\nb", str(error))
