"""The process in which one reader does one piece of work, measured whole.

    python -m benchmarks.reader.process READER WORK IMAGE MEMBERS

READER is a module beside this one, whose dictionary `WORKS` has a function for each WORK. What that
finds goes to standard output as lines of a name and a number. A work that the reader does not know
gets one line, `unknown`.

Imports next to nothing: what it imports is measured, and peers run in an environment of their own.
"""

from __future__ import annotations

import sys
from importlib import import_module

__all__: list[str] = []


def main() -> None:
    """Do the work and print what it found."""
    reader, work, image, members = sys.argv[1:]
    do = import_module(f"benchmarks.reader.{reader}").WORKS.get(work)
    if do is None:
        print("unknown")
        return
    for name, number in do(image, int(members)).items():
        print(name, number)


if __name__ == "__main__":
    main()
