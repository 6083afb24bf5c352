"""Fuzzing guided by coverage: atheris changes images, and keeps in a corpus each that reaches code
of the reader which none before it reached.

The corpus starts from the fixtures and is kept in .fuzz/corpus: a later run goes on where this one
ended. Images that break the promise, take ten seconds or take more than 512 MiB are kept in
.fuzz/findings.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.fuzz.findings import FINDINGS, ROOT, replay_command
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    from pathlib import Path

CORPUS = ROOT / ".fuzz" / "corpus"
_OPTIONS = (
    "-max_len=65536",  # bytes of an image: four times the largest fixture
    "-timeout=10",  # seconds: instrumented code takes some times as long
    "-rss_limit_mb=512",
    f"-artifact_prefix={FINDINGS}/",
)


class TargetFailedError(Exception):
    """The target ended although it found nothing and had time left; the message is its output."""


def fuzz(minutes: float, jobs: int) -> int:
    """Fuzz in so many processes; 1 where there are findings, 0 where there are none."""
    seed(CORPUS)
    FINDINGS.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + minutes * 60
    with ThreadPoolExecutor(jobs) as pool:
        runs = sum(pool.map(lambda _: run_until(end), range(jobs)))
    findings = sorted(FINDINGS.iterdir())
    print(f"{runs} images in {minutes:g} minutes; {sum(1 for _ in CORPUS.iterdir())} in the corpus")
    print(f"{len(findings)} findings" + ", each to be seen again with:" * bool(findings))
    for finding in findings:
        print("   ", replay_command(finding))
    return 1 if findings else 0


def seed(corpus: Path) -> None:
    """Put the fixtures into the corpus, which git is to pass over."""
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus.parent / ".gitignore").write_text("*\n", encoding="ascii")
    for name, fixture in FIXTURES.items():
        (corpus / name).write_bytes(fixture.image.read_bytes()[fixture.offset :])


def run_until(end: float) -> int:
    """Run the target until then, again after each image that ends it; the images that it tried."""
    runs = 0
    while (seconds := int(end - time.monotonic())) > 0:
        found = set(FINDINGS.iterdir())
        command = [sys.executable, "-m", "tests.fuzz.target", *_OPTIONS]
        done = subprocess.run(
            [*command, f"-max_total_time={seconds}", str(CORPUS)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        # libFuzzer tells of its progress: "#8192 pulse cov: 1014 ...", "Done 9000 runs in ..."
        counts = re.findall(r"^(?:#|Done )(\d+)", done.stderr, re.MULTILINE)
        runs += max(map(int, counts), default=0)
        if done.returncode != 0 and set(FINDINGS.iterdir()) == found:
            raise TargetFailedError(done.stderr[-2000:])
    return runs
