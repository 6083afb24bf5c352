"""Look for images that the reader does not survive.

    python -m tests.fuzz --minutes 10          guided by coverage (tests/fuzz/guided.py)
    python -m tests.fuzz --mutations 200000    drawn from numbers (tests/fuzz/campaign.py)
    python -m tests.fuzz --replay IMAGE        one image again

The exit code is 1 where anything was found.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tests.fuzz import campaign, guided
from tests.support.images.survive import survive


def main(arguments: list[str] | None = None) -> int:
    """Do what is asked; the exit code."""
    parser = argparse.ArgumentParser(description="Look for images that break the reader.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--minutes", type=float, help="fuzz so long, guided by coverage")
    what.add_argument("--mutations", type=int, help="read so many mutations of sound images")
    what.add_argument("--replay", type=Path, metavar="IMAGE", help="read one image")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    options = parser.parse_args(arguments)
    if options.replay is not None:
        survey = survive(options.replay.read_bytes())
        print(f"survived: {survey.calls} calls, {len(survey.errors)} errors")
        return 0
    if options.minutes is not None:
        return guided.fuzz(options.minutes, options.jobs)
    numbers = ["--mutations", options.mutations, "--first", options.first, "--jobs", options.jobs]
    return campaign.main([str(each) for each in numbers])


if __name__ == "__main__":
    sys.exit(main())
