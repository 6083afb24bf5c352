"""Faults of a mount: the error number that a program gets, and one line that tells of it."""

from __future__ import annotations

import errno

import pytest

from s3archivefs import CorruptImageError, LimitExceededError
from s3archivefs.mount.branches import StaleNodeError
from s3archivefs.mount.faults import Faults, Place, unfailing
from tests.support.clock import Clock


def test_an_answer_to_what_was_asked_is_no_fault() -> None:
    lines: list[str] = []
    faults = Faults(lines.append)
    for number in (errno.ENOENT, errno.ENOTDIR, errno.ENODATA, errno.ERANGE, errno.ENOSYS):
        assert faults.number(OSError(number, "as it is"), Place("a.sqfs")) == number
    assert lines == []


@pytest.mark.parametrize(
    ("error", "number", "line"),
    [
        (
            CorruptImageError("it is damaged", 7),
            errno.EIO,
            "it is damaged (at byte 7 of the image)",
        ),
        (OSError(errno.ENETDOWN, "the network\nis down"), errno.EIO, "the network is down"),
        (OSError("no number"), errno.EIO, "no number"),
        (OSError(errno.ESTALE, "it was replaced"), errno.ESTALE, "it was replaced"),
        (KeyError("a bug"), errno.EIO, "KeyError: 'a bug'"),
        (LimitExceededError("xattrs", 9, 8), errno.EIO, "9 is more than the 8 allowed"),
    ],
)
def test_a_fault_is_told_on_one_line(error: Exception, number: int, line: str) -> None:
    lines: list[str] = []
    assert Faults(lines.append).number(error, Place("a.sqfs", "inode 5")) == number
    (told,) = lines
    assert told.startswith("a.sqfs: inode 5: ")
    assert line in told
    assert "\n" not in told


def test_a_line_that_names_the_place_itself_is_not_told_twice() -> None:
    lines: list[str] = []
    Faults(lines.append).number(OSError("a.sqfs: gone"), Place("a.sqfs"))
    assert lines == ["a.sqfs: gone"]


def test_the_same_line_is_told_once_a_minute() -> None:
    lines: list[str] = []
    clock = Clock()
    faults = Faults(lines.append, clock=clock)
    for _ in range(5):
        clock.now += 25
        faults.number(CorruptImageError("damaged"), Place("x"))
        faults.number(CorruptImageError("otherwise"), Place("x"))
    assert lines == ["x: damaged", "x: otherwise"] * 2


def test_a_fault_of_a_store_is_told_once_a_minute_whatever_is_read() -> None:
    lines: list[str] = []
    clock = Clock()
    faults = Faults(lines.append, clock=clock)
    for number in range(30):
        for archive in ("a", "b"):
            place = Place(archive, f"inode at {number}")
            faults.number(OSError(f"{archive}: refused (request {number})"), place)
            faults.number(OSError(errno.ESTALE, f"replaced (request {number})"), place)
    assert len(lines) == 4
    clock.now += 60
    faults.number(OSError("a: refused (request 31)"), Place("a"))
    assert lines[4] == "a: refused (request 31)"


def test_few_lines_are_remembered() -> None:
    lines: list[str] = []
    faults = Faults(lines.append, clock=Clock())
    for number in range(1000):
        faults.number(CorruptImageError(f"damage {number}"), Place("a"))
    faults.number(CorruptImageError("damage 999"), Place("a"))
    assert len(lines) == 1000
    faults.number(CorruptImageError("damage 0"), Place("a"))
    assert len(lines) == 1001


def test_a_replaced_archive_is_told_with_what_to_do_or_followed() -> None:
    lines: list[str] = []
    looked: list[bool] = []
    stale = OSError(errno.ESTALE, "it was replaced")
    assert Faults(lines.append).number(stale, Place("x")) == errno.ESTALE
    assert "mount it again" in lines[0]
    following = Faults(lines.append, on_stale=lambda: looked.append(True))
    assert following.number(stale, Place("x")) == errno.ESTALE
    assert (len(lines), looked) == (1, [True])
    # What was found in the old archive is stale for good, and calls for no further look.
    assert following.number(StaleNodeError(5), Place("x")) == errno.ESTALE
    assert (len(lines), looked) == (1, [True])


def test_a_line_that_cannot_be_told_is_dropped() -> None:
    lines: list[str] = []

    def picky(line: str) -> None:
        lines.append(line)
        line.encode("ascii")

    report = unfailing(picky)
    report("\udcff")
    report("plain")
    assert lines == ["\udcff", "plain"]
