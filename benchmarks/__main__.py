"""Run a benchmark by its name; what follows the name goes to it.

    python -m benchmarks listing --members 10000,100000

Measures, and never judges a change: no test depends on time.
"""

from __future__ import annotations

import argparse
from importlib import import_module

BENCHMARKS = {
    "bounds": "pages over trees of next to nothing and many mappings; lines of a file",
    "cold-start": "a cold start of the Lambda function, and its parts",
    "many-archives": "a page over many small archives, and reads from them in turn",
    "listing": "a page of ListObjectsV2, in archives of 10,000 to 10,000,000 members",
    "packing": "what packing decides of reading in S3",
    "remote": "reading archives in S3, beside others that do",
}


def main() -> None:
    """Do what is asked."""
    names = "\n".join(f"  {name:12}{meaning}" for name, meaning in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description=f"Measure one of:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=BENCHMARKS, metavar="NAME")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="NAME --help lists them")
    options = parser.parse_args()
    import_module("benchmarks." + options.name.replace("-", "_")).main(options.arguments)


if __name__ == "__main__":
    main()
