from __future__ import annotations

import os
import resource
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import s3archivefs
from s3archivefs.dataset.members import Members, members_of
from s3archivefs.dataset.shared_file import mapped, shared
from tests.support.processes.forked import in_child
from tests.support.processes.other_process import in_process, shared_there

if TYPE_CHECKING:
    from collections.abc import Iterator


class Owner:
    """What a file lives as long as."""


@pytest.fixture(params=["**/*", "cat/*", "missing"])
def members(image: Path, request: pytest.FixtureRequest) -> Iterator[Members]:
    with s3archivefs.open(image) as fs:
        yield members_of(fs, request.param)


def columns(members: Members | None) -> list[list[int]]:
    assert members is not None
    return [[*column] for column in members]


def test_mapped_members_are_those_that_were_shared(members: Members) -> None:
    owner = Owner()
    found = mapped(shared(members, owner))
    assert columns(found) == columns(members)
    assert found is not None
    count = len(members.references)
    assert [*map(found.path, range(count))] == [*map(members.path, range(count))]


def test_mapped_members_outlive_the_file(members: Members) -> None:
    owner = Owner()
    file = shared(members, owner)
    found = mapped(file)
    del owner
    assert not Path(file.path).exists()
    assert columns(found) == columns(members)
    assert mapped(file) is None


def test_only_its_user_may_read_the_file(members: Members) -> None:
    owner = Owner()
    assert Path(shared(members, owner).path).stat().st_mode & 0o777 == 0o600


def test_another_file_in_its_place_is_not_taken_for_it(members: Members, tmp_path: Path) -> None:
    owner = Owner()
    file = shared(members, owner)
    for content in (b"", b"x", Path(file.path).read_bytes()[::-1]):
        (tmp_path / "other").write_bytes(content)
        assert mapped(file._replace(path=str(tmp_path / "other"))) is None
    os.mkfifo(tmp_path / "pipe")
    assert mapped(file._replace(path=str(tmp_path / "pipe"))) is None


def test_a_file_that_is_cut_off_is_not_taken_for_it(members: Members, tmp_path: Path) -> None:
    owner = Owner()
    file = shared(members, owner)
    content, cut = Path(file.path).read_bytes(), tmp_path / "cut"
    for length in (*range(0, len(content), 97), len(content) - 1):
        cut.write_bytes(content[:length])
        assert mapped(file._replace(path=str(cut))) is None


def test_no_file_is_left_where_there_is_no_room_for_it(members: Members, tmp_path: Path) -> None:
    def share_without_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        tempfile.tempdir = str(tmp_path)
        owner = Owner()
        with pytest.raises(OSError, match="too large"):
            shared(members, owner)
        assert not [*tmp_path.iterdir()]

    in_child(share_without_room)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.parametrize("has_proc", [True, False])
def test_no_file_outlives_the_process_that_shared_it(
    image: Path, tmp_path: Path, method: str, *, has_proc: bool
) -> None:
    there = in_process(method, shared_there, str(image), str(tmp_path), has_proc)
    assert len(there) == (0 if has_proc else 1)
    assert not [*tmp_path.iterdir()]


def test_no_file_outlives_a_process_that_is_killed(
    members: Members, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def share_and_die() -> None:
        owner = Owner()
        assert mapped(shared(members, owner)) is not None
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(EOFError):
        in_child(share_and_die)
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda self: "/proc/" not in str(self) and exists(self))


@pytest.mark.usefixtures("without_proc")
def test_elsewhere_the_file_has_a_name_as_long_as_its_owner_lives(members: Members) -> None:
    owner = Owner()
    file = shared(members, owner)
    assert columns(mapped(file)) == columns(members)
    assert Path(file.path).parent == Path(tempfile.gettempdir())
    del owner
    assert not Path(file.path).exists()


def test_a_forked_child_that_ends_leaves_the_file(members: Members) -> None:
    owners = [Owner()]
    file = shared(members, owners[0])
    in_child(owners.clear)
    assert Path(file.path).exists()


def handles() -> set[int]:
    """The descriptors of files of members that this process has."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the listing itself
            if ".members" in str(each.readlink()):
                found.add(int(each.name))
    return found


def test_a_forked_child_has_no_handle_of_the_file_and_closes_none_of_its_own(
    members: Members,
) -> None:
    before = handles()
    owners = [Owner()]
    file = shared(members, owners[0])
    [handle] = handles() - before

    def use_the_number() -> None:
        assert handle not in handles()
        os.dup2(0, handle)
        in_child(lambda: os.fstat(handle).st_size)
        owners.clear()
        os.fstat(handle)

    in_child(use_the_number)
    assert columns(mapped(file)) == columns(members)
