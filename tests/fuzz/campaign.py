"""Many mutations of small images: what the reader does with each, and whether unsquashfs agrees.

    python -m tests.fuzz.campaign --mutations 200000 [--first 0]

Each runs in a child of bounded memory, a thousand to a child. What the reader makes of a mutation's
files is held against what unsquashfs extracts, where that accepts the image: for every mutation
from which a file was read that differs from the sound image's, as nearly all that are wrong must,
and for every sixteenth of the others.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.support.images.extracted import open_to_owner
from tests.support.images.mutations import Mutator, originals
from tests.support.images.survive import survive
from tests.support.processes.bounded import ChildFailedError, in_child

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

BATCH = 1000
SECONDS = 1.0
"""Of processor time that one image may take, and that a batch may take for each."""
_COMPARED_ALWAYS = 16
# unsquashfs is not trusted with these images: bytes of memory and of output, seconds.
_UNSQUASHFS = 'ulimit -v 1048576; ulimit -f 65536; exec timeout 10 unsquashfs "$@"'
# To users it would fail at the devices, which are in most of the images, as if it refused these.
# Within the bounds a timeout would leave fakeroot's daemon behind.
_AS_ROOT = ["fakeroot"] if os.geteuid() else []


class HangError(BaseException):
    """An image takes too long. No Exception, so that no one takes it for the reader's."""


@dataclass(slots=True)
class Batch:
    """What came of some mutations."""

    counts: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)
    """Mutations that break the promise, and how."""
    compared: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    """Contents of the mutations to hold against unsquashfs."""


def run_batch(images: Mapping[str, bytes], numbers: range) -> Batch:
    """Survey each mutation."""
    signal.signal(signal.SIGPROF, _hang)
    mutator = Mutator(images)
    sound = {name: survive(image).contents for name, image in images.items()}
    batch = Batch()
    for number in numbers:
        name, image = mutator.mutation(number)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            survey = survive(image)
        except HangError:
            batch.counts["hangs"] += 1
            batch.findings.append((number, f"{name}: takes more than {SECONDS} s"))
            continue
        except MemoryError:
            batch.counts["over the memory bound"] += 1
            batch.findings.append((number, f"{name}: takes more memory than there is"))
            continue
        except Exception as error:  # noqa: BLE001 -- each is a finding
            batch.counts["undocumented exceptions"] += 1
            batch.findings.append((number, f"{name}: {type(error).__name__}: {error}"))
            continue
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        batch.counts["opened" if survey.calls else "refused"] += 1
        changed = any(content != sound[name].get(path) for path, content in survey.contents.items())
        batch.counts["changed"] += changed
        if survey.contents and (changed or number % _COMPARED_ALWAYS == 0):
            batch.compared[number] = survey.contents
    return batch


def _hang(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise HangError


def differences(image: bytes, contents: Mapping[bytes, bytes]) -> dict[bytes, bytes | None] | None:
    """What unsquashfs extracts otherwise, by path; None where it refuses the image.

    It extracts inodes of one number as links to one file, whatever they hold. So where a file
    differs, that file is asked for by itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "image.sqfs"), Path(folder, "out")
        source.write_bytes(image)
        done = _unsquashfs("-quiet", "-no-progress", "-no-xattrs", "-dest", target, source)
        try:
            if done.returncode != 0:
                return None
            open_to_owner(target)
            extracted = {path: _extracted(os.fsencode(target) + path) for path in contents}
            different = {path: one for path, one in extracted.items() if one != contents[path]}
            options = ("-no-wildcards", "-no-xattrs", "-cat", source)
            alone = {path: _unsquashfs(*options, path) for path in different}
            return {
                path: different[path]
                for path, cat in alone.items()
                if cat.returncode != 0 or cat.stdout != contents[path]
            }
        finally:
            shutil.rmtree(target, ignore_errors=True)


def _unsquashfs(*arguments: str | bytes | Path) -> subprocess.CompletedProcess[bytes]:
    command = [*_AS_ROOT, "/bin/sh", "-c", _UNSQUASHFS, "sh", *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def _extracted(path: bytes) -> bytes | None:
    if os.path.islink(path) or not os.path.isfile(path):  # noqa: PTH114, PTH113 -- no Path has bytes
        return None
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def run(images: Mapping[str, bytes], numbers: range) -> Batch:
    """A batch in a child, its findings completed by the comparison with unsquashfs."""
    try:
        batch = in_child(run_batch, images, numbers, seconds=math.ceil(len(numbers) * SECONDS) + 10)
    except ChildFailedError as error:
        if len(numbers) == 1:
            return Batch(Counter(crashes=1), [(numbers[0], str(error))])
        half = len(numbers) // 2
        parts = run(images, numbers[:half]), run(images, numbers[half:])
        return _sum(parts)
    mutator = Mutator(images)
    for number, contents in batch.compared.items():
        name, image = mutator.mutation(number)
        different = differences(image, contents)
        batch.counts["refused by unsquashfs" if different is None else "compared"] += 1
        if different:
            batch.counts["silent differences"] += 1
            path, extracted = next(iter(different.items()))
            what = f"{len(different)} files unlike unsquashfs, {path!r} as {extracted!r:.50}"
            batch.findings.append((number, f"{name}: {what}"))
    batch.compared.clear()
    return batch


def _sum(batches: tuple[Batch, ...]) -> Batch:
    total = Batch()
    for batch in batches:
        total.counts += batch.counts
        total.findings += batch.findings
    return total


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; the exit code is 1 where anything was found."""
    parser = argparse.ArgumentParser(description="Mutate images and read them.")
    parser.add_argument("--mutations", type=int, default=200_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    end = options.first + options.mutations
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        images = originals(Path(folder))
    batches = [range(first, min(first + BATCH, end)) for first in range(options.first, end, BATCH)]
    total = Batch()
    with ThreadPoolExecutor(options.jobs) as pool:
        for done, batch in enumerate(pool.map(lambda numbers: run(images, numbers), batches), 1):
            total = _sum((total, batch))
            for number, what in batch.findings:
                print(f"mutation {number}: {what}", flush=True)
            if done % 10 == 0:
                print(f"{done * BATCH} of {options.mutations}", file=sys.stderr, flush=True)
    minutes = (time.monotonic() - started) / 60
    print(f"{options.mutations} mutations of {len(images)} images in {minutes:.1f} minutes")
    for what in (
        *("opened", "refused", "changed", "compared", "refused by unsquashfs"),
        *("undocumented exceptions", "hangs", "over the memory bound", "crashes"),
        "silent differences",
    ):
        print(f"{total.counts[what]:>9} {what}")
    return 1 if total.findings else 0


if __name__ == "__main__":
    sys.exit(main())
