"""The contenders, and the runs that each does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.remote.data import LONG_FILE, Packed, Paths
from benchmarks.remote.store import Uploaded

__all__ = [
    "CONTENDERS",
    "DOWNLOAD",
    "PLAIN",
    "PRODUCT",
    "Contender",
    "Run",
    "Step",
    "check_answer",
    "long_run",
    "runs",
    "warm_run",
]

_RANGE = 3_000_000, 65_536
_WARM_READS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A way to read archives."""

    name: str
    reader: str
    """The `Reader` it is, as MODULE:CLASS."""
    is_peer: bool = False
    lacks: frozenset[str] = frozenset()
    """Operations that it does not have."""
    once: frozenset[str] = frozenset()
    """Operations too slow to be repeated."""


PRODUCT = Contender(name="s3archivefs", reader="benchmarks.remote.own:Product")
PLAIN = Contender(
    name="plain objects",
    reader="benchmarks.remote.own:PlainObjects",
    lacks=frozenset({"open", "long"}),
)
DOWNLOAD = Contender(
    name="download, unread",
    reader="benchmarks.remote.own:Download",
    lacks=frozenset({"open", "file", "range", "list20", "list5000", "many"}),
)
CONTENDERS = (
    PRODUCT,
    Contender(name="s3archivefs, expected", reader="benchmarks.remote.own:ExpectedProduct"),
    Contender(
        name="naive reader",
        reader="benchmarks.remote.own:Naive",
        once=frozenset({"long"}),  # a minute: it waits for each of 2,300 blocks
    ),
    Contender(name="dissect.squashfs", reader="benchmarks.remote.peers:Dissect", is_peer=True),
    Contender(name="ratarmount", reader="benchmarks.remote.peers:Ratarmount", is_peer=True),
    Contender(
        name="rclone",
        reader="benchmarks.remote.peers:Rclone",
        is_peer=True,
        lacks=frozenset({"open"}),
    ),
    Contender(name="remotezip", reader="benchmarks.remote.peers:RemoteZip", is_peer=True),
    Contender(name="download, then read", reader="benchmarks.remote.own:Downloaded"),
    DOWNLOAD,
    PLAIN,
)


class Step(NamedTuple):
    """Calls that are timed together, and the answer that the last of them must give.

    None as `expected` checks nothing; a path stands for that file's content.
    """

    operation: str
    calls: list[list[Any]]
    expected: object = None


@dataclass(frozen=True, slots=True)
class Run:
    """The steps of one process."""

    archive: Uploaded
    steps: Sequence[Step]

    def suits(self, contender: Contender, repetition: int) -> bool:
        """Return whether the contender does this run in this repetition."""
        operations = {step.operation for step in self.steps}
        left_out = contender.lacks | (contender.once if repetition else set())
        return operations.isdisjoint(left_out)


def runs(packed: Packed, archive: Uploaded, paths: Paths) -> list[Run]:
    """Return the runs over the small files."""

    def digest_of(*members: str) -> str:
        return _digest(b"".join((packed.tree / member).read_bytes() for member in members))

    def listed(directory: str) -> list[list[Any]]:
        found = sorted((packed.tree / directory).iterdir())
        return [[file.name, file.stat().st_size] for file in found]

    offset, length = _RANGE
    part = (packed.tree / paths.big_file).read_bytes()[offset : offset + length]
    many = paths.many_files
    steps = [
        [
            Step("file", [["open"], ["read", paths.file]], digest_of(paths.file)),
            Step("second", [["read", paths.second_file]], digest_of(paths.second_file)),
        ],
        [Step("open", [["open"]])],
        [Step("range", [["open"], ["read_range", paths.big_file, *_RANGE]], _digest(part))],
        *(
            [Step(operation, [["open"], ["list", directory]], listed(directory))]
            for operation, directory in (
                ("list20", paths.directory),
                ("list5000", paths.flat_directory),
            )
        ),
        [Step("many", [["open"], ["read_many", many]], digest_of(*many))],
    ]
    return [Run(archive, each) for each in steps]


def long_run(packed: Packed, archive: Uploaded) -> Run:
    """Return the run that reads the long file from end to end."""
    step = Step("long", [["open"], ["stream", LONG_FILE]], packed.tree / LONG_FILE)
    return Run(archive, [step])


def warm_run(archive: Uploaded, paths: Paths) -> Run:
    """Return the run that reads a small file again and again."""
    first = Step("file", [["open"], ["read", paths.file]])
    return Run(archive, [first, Step("warm", [["repeat", paths.file, _WARM_READS]])])


def check_answer(contender: Contender, step: Step, answer: Any) -> None:  # noqa: ANN401 -- JSON
    """Raise ValueError where the answer is not what was packed."""
    expected = step.expected
    if isinstance(expected, Path):
        if contender is DOWNLOAD:
            return
        *samples, (size, _) = answer
        with expected.open("rb") as file:
            for place, sample in samples:
                file.seek(place)
                if file.read(len(sample) // 2).hex() != sample:
                    raise ValueError(f"{contender.name}: other bytes at {place} of {expected.name}")
        answer, expected = size, expected.stat().st_size
    if expected is not None and answer != expected:
        raise ValueError(f"{contender.name}, {step.operation}: not what was packed")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
