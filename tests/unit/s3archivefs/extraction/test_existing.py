"""What stands in the target: it is an error, kept, or replaced, and never followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import s3archivefs
from s3archivefs.extraction.folders import Existing
from tests.support.images.built import build, directory, file, symlink
from tests.support.images.extracted import mode_of, opened, tree_of
from tests.support.processes.as_user import as_user

WHOLE = {"a": None, "a/b": b"new", "a/l": "b", "c": b"c"}


@pytest.fixture(scope="module")
def fs() -> s3archivefs.SquashFS:
    inner = directory({b"b": file(b"new", mtime=5), b"l": symlink(b"b")}, mode=0o700, mtime=6)
    return opened(build(directory({b"a": inner, b"c": file(b"c")})))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A target, with something beside it that must stay as it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/b").write_bytes(b"precious")
    made = tmp_path / "target"
    made.mkdir()
    return made


def outside(target: Path) -> object:
    return tree_of(target.parent / "outside")


PRECIOUS = {"b": b"precious"}


@pytest.mark.parametrize("standing", ["file", "symlink", "dangling", "directory"])
@pytest.mark.parametrize("member", ["b", "l"])
def test_what_stands_there_is_an_error(
    fs: s3archivefs.SquashFS, target: Path, standing: str, member: str
) -> None:
    place = target / "a" / member
    stand(place, standing)
    before = tree_of(target)
    with pytest.raises(FileExistsError) as caught:
        fs.extract("/", target)
    assert caught.value.filename == str(place)
    assert {name: tree_of(target)[name] for name in before} == before
    assert outside(target) == PRECIOUS


@pytest.mark.parametrize("standing", ["file", "symlink", "dangling", "directory"])
@pytest.mark.parametrize("member", ["b", "l"])
def test_what_stands_there_is_kept(
    fs: s3archivefs.SquashFS, target: Path, standing: str, member: str
) -> None:
    place = target / "a" / member
    stand(place, standing)
    before = tree_of(target)
    counts = fs.extract("/", target, existing="keep")
    assert tree_of(target) == WHOLE | before
    assert counts.kept == 1
    assert outside(target) == PRECIOUS


@pytest.mark.parametrize("standing", ["file", "symlink", "dangling"])
@pytest.mark.parametrize("member", ["b", "l"])
def test_what_stands_there_is_replaced_and_not_followed(
    fs: s3archivefs.SquashFS, target: Path, standing: str, member: str
) -> None:
    stand(target / "a" / member, standing)
    fs.extract("/", target, existing="replace")
    assert tree_of(target) == WHOLE
    assert outside(target) == PRECIOUS


def test_a_file_replaces_no_directory(fs: s3archivefs.SquashFS, target: Path) -> None:
    (target / "a/b/below").mkdir(parents=True)
    with pytest.raises(OSError, match="directory") as caught:
        fs.extract("/", target, existing="replace")
    assert caught.value.filename == str(target / "a/b")
    assert (target / "a/b/below").is_dir()


@pytest.mark.parametrize("existing", ["error", "keep"])
def test_a_symlink_in_the_way_is_not_followed(
    fs: s3archivefs.SquashFS, target: Path, existing: Existing
) -> None:
    (target / "a").symlink_to("../outside")
    with pytest.raises(s3archivefs.OutsideDestinationError, match="a symlink stands there"):
        fs.extract("/", target, existing=existing)
    assert outside(target) == PRECIOUS
    reported: list[str] = []
    fs.extract("/", target, existing=existing, on_error=lambda path, _: reported.append(path))
    assert reported == ["/a"]  # and nothing below it
    assert tree_of(target) == {"a": "../outside", "c": b"c"}
    assert outside(target) == PRECIOUS


@pytest.mark.parametrize("standing", ["file", "symlink", "dangling"])
def test_a_directory_replaces_a_symlink_or_file_in_the_way(
    fs: s3archivefs.SquashFS, target: Path, standing: str
) -> None:
    stand(target / "a", standing)
    fs.extract("/", target, existing="replace")
    assert tree_of(target) == WHOLE
    assert outside(target) == PRECIOUS


@pytest.mark.parametrize("existing", ["error", "keep"])
def test_a_file_in_the_way_of_a_directory_is_an_error(
    fs: s3archivefs.SquashFS, target: Path, existing: Existing
) -> None:
    (target / "a").write_bytes(b"mine")
    with pytest.raises(NotADirectoryError) as caught:
        fs.extract("/", target, existing=existing)
    assert caught.value.filename == str(target / "a")
    assert tree_of(target) == {"a": b"mine"}


def test_directories_that_were_there_keep_mode_and_time(
    fs: s3archivefs.SquashFS, target: Path
) -> None:
    (target / "a").mkdir()
    (target / "a").chmod(0o711)
    fs.extract("/", target)
    assert mode_of(target / "a") == 0o711
    assert (target / "a").stat().st_mtime > 6


def test_directories_that_were_there_are_replaced_in_mode_and_time(
    fs: s3archivefs.SquashFS, target: Path
) -> None:
    (target / "a").mkdir()
    (target / "a").chmod(0o711)
    fs.extract("/", target, existing="replace")
    assert mode_of(target / "a") == 0o700
    assert (target / "a").stat().st_mtime == 6


def test_going_on_restores_the_times_of_directories(fs: s3archivefs.SquashFS, target: Path) -> None:
    (target / "a").mkdir()
    (target / "a").chmod(0o711)
    fs.extract("/", target, existing="keep")
    assert mode_of(target / "a") == 0o711
    assert (target / "a").stat().st_mtime == 6


@pytest.mark.parametrize(("standing", "mode"), [(0o755, 0o1777), (0o750, 0o750)])
def test_going_on_restores_the_modes_of_unfinished_directories(
    target: Path, standing: int, mode: int
) -> None:
    """As an interrupted extraction leaves them: nothing for others to write, no sticky bit."""
    (target / "a").mkdir()
    (target / "a").chmod(standing)
    image = build(directory({b"a": directory({b"b": file(b"")}, mode=0o1777, mtime=6)}))
    opened(image).extract("/", target, existing="keep", filter="fully-trusted")
    assert mode_of(target / "a") == mode
    assert (target / "a").stat().st_mtime == 6


@pytest.mark.parametrize("mode", [0, 0o500, 0o300])
@pytest.mark.parametrize("existing", ["keep", "replace"])
def test_directories_that_their_owner_may_not_use_are_gone_on_with(
    mode: int, existing: Existing, tmp_path: Path
) -> None:
    inner = directory({b"b": file(b"b"), b"c": file(b"c")}, mode=mode, mtime=6)
    image = build(directory({b"a": inner}, mode=0o755))

    def modes() -> list[object]:
        with opened(image) as fs:
            fs.extract("/", "target", filter="tar", exclude=["c"])
            fs.extract("/", "target", filter="tar", existing=existing)
        found = mode_of(Path("target/a"))
        Path("target/a").chmod(0o700)
        return [found, int(Path("target/a").stat().st_mtime), *sorted(tree_of(Path("target")))]

    assert as_user(tmp_path, modes) == [mode, 6, "a", "a/b", "a/c"]


def test_going_on_links_to_nothing_that_stood_there(target: Path) -> None:
    """Whatever its size and time are: the content may be anyone's, and the inode."""
    node = file(b"once", extended=True, nlink=3, mtime=7)
    fs = opened(build(directory({b"x": node, b"y": node, b"z": node})))
    evil = target.parent / "outside/b"
    evil.write_bytes(b"EVIL")
    os.utime(evil, (7, 7))
    (target / "x").hardlink_to(evil)
    assert fs.extract("/", target, existing="keep").kept == 1
    assert tree_of(target) == {"x": b"EVIL", "y": b"once", "z": b"once"}
    assert (target / "y").stat().st_ino == (target / "z").stat().st_ino != evil.stat().st_ino


def test_a_hard_link_is_none_to_what_took_the_place_of_its_first_name(target: Path) -> None:
    """Of members that get one name, as with strip_components, the last stays."""
    one, two = (
        file(data, extended=True, in_fragment=True, nlink=nlink)
        for data, nlink in ((b"AAAA", 3), (b"BBBB", 2))
    )
    link = symlink(b"A", extended=True, nlink=2, xattr=2**32 - 1)
    top = {
        b"1": directory({b"l": link, b"x": one, b"z": one}),
        b"2": directory({b"l": symlink(b"B"), b"x": file(b"CCCC", in_fragment=True), b"z": two}),
        b"3": directory({b"m": link, b"u": two, b"y": one}),
    }
    fs = opened(build(directory(top)))
    fs.extract("/", target, strip_components=1, existing="replace")
    expected = {"l": "B", "m": "A", "u": b"BBBB", "x": b"CCCC", "y": b"AAAA", "z": b"BBBB"}
    assert tree_of(target) == expected
    assert (target / "u").stat().st_ino == (target / "z").stat().st_ino


def test_a_hard_link_is_none_to_what_others_put_in_place_of_its_first_name(target: Path) -> None:
    link = symlink(b"once", extended=True, nlink=2, xattr=2**32 - 1)
    fs = opened(build(directory({b"x": link, b"y": link})))

    def swapped(member: s3archivefs.Member, _: str) -> s3archivefs.Member:
        if member.name == "y":
            (target / "x").unlink()
            (target / "x").symlink_to("evil")
        return member

    fs.extract("/", target, filter=swapped)
    assert tree_of(target) == {"x": "evil", "y": "once"}


def test_hard_links_are_replaced(target: Path) -> None:
    node = file(b"once", extended=True, nlink=2, mtime=7)
    fs = opened(build(directory({b"x": node, b"y": node})))
    for _ in range(2):
        fs.extract("/", target, existing="replace")
        assert tree_of(target) == {"x": b"once", "y": b"once"}
        assert (target / "x").stat().st_ino == (target / "y").stat().st_ino


@pytest.mark.parametrize("existing", ["error", "keep", "replace"])
def test_members_that_get_the_same_name_meet_like_that(tmp_path: Path, existing: Existing) -> None:
    """A symlink of the image is as any other in the way of a second directory's members."""
    one = directory({b"x": symlink(b"../outside")})
    two = directory({b"x": directory({b"f": file(b"new")})})
    (tmp_path / "outside").mkdir()
    fs = opened(build(directory({b"1": one, b"2": two})))
    reported: list[type[Exception]] = []
    fs.extract(
        "/",
        tmp_path / "target",
        strip_components=1,
        filter="tar",
        existing=existing,
        on_error=lambda _, error: reported.append(type(error)),
    )
    assert tree_of(tmp_path / "outside") == {}
    if existing == "replace":
        assert tree_of(tmp_path / "target") == {"x": None, "x/f": b"new"}
    else:
        assert reported == [s3archivefs.OutsideDestinationError]
        assert tree_of(tmp_path / "target") == {"x": "../outside"}


def stand(place: Path, what: str) -> None:
    """Let something stand at a place, and the directories above it."""
    place.parent.mkdir(exist_ok=True)
    match what:
        case "file":
            place.write_bytes(b"old")
        case "symlink":
            top = next(above for above in place.parents if above.name == "target").parent
            place.symlink_to(top / "outside" / "b")
        case "dangling":
            place.symlink_to("nowhere")
        case _:
            place.mkdir()
