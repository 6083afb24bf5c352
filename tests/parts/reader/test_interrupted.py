"""An extraction that is killed, at whichever moment, leaves no half file; another completes it."""

from __future__ import annotations

from functools import partial
from itertools import count
from pathlib import Path

import pytest

from s3archivefs import unnamed_files
from tests.support.images.built import build, directory, file, symlink
from tests.support.images.extracted import mode_of, opened
from tests.support.processes.killed import is_killed

TWICE = file(b"twice" * 999, extended=True, nlink=2, mtime=5, mode=0o600)
TREE = directory(
    {
        b"a": directory({b"1": TWICE, b"2": TWICE}, mode=0o750, mtime=6),
        b"b": symlink(b"a/1", mtime=7),
        b"c": file(b"c" * 4096 + bytes(8192) + b"d", extended=True, mtime=8, mode=0o755),
        b"d": directory({b"e": directory(mode=0o700, mtime=9)}, mode=0o1777, mtime=10),
    },
    mode=0o755,
    mtime=11,
)


def summed_up(target: Path) -> dict[str, object]:
    """Content, mode and time of all that is there under a name of its own."""
    found: dict[str, object] = {}
    for path in (target, *target.rglob("*")):
        if path.name.startswith(".s3archivefs-"):
            continue
        mtime = path.lstat().st_mtime
        if path.is_symlink():
            found[path.relative_to(target).as_posix()] = str(path.readlink()), mtime
        else:
            content = path.read_bytes() if path.is_file() else path.is_dir()
            found[path.relative_to(target).as_posix()] = content, mode_of(path), mtime
    return found


def refuse(*_: object) -> int:
    raise OSError


@pytest.mark.parametrize("kind", ["unnamed files", "temporary names"])
def test_killed_at_any_moment_it_leaves_no_half_file_and_goes_on(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "temporary names":
        monkeypatch.setattr(unnamed_files, "create_unnamed", refuse)
    with opened(build(TREE)) as fs:
        trusted = partial(fs.extract, "/", filter="fully-trusted")
        trusted(tmp_path / "whole")
        whole = summed_up(tmp_path / "whole")
        for step in count(1):
            target = tmp_path / str(step)
            if not is_killed(step, partial(trusted, target)):
                break
            if target.exists():
                made = summed_up(target)
                files = {path for path in made if not (target / path).is_dir()}
                assert {path: made[path] for path in files} == {path: whole[path] for path in files}
            trusted(target, existing="keep")
            made = summed_up(target)
            del made["."]  # which is not touched where it was there
            assert made.items() <= whole.items()
            assert len(made) == len(whole) - 1
    assert step > 40
    assert summed_up(target) == whole
