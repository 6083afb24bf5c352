"""What atheris calls with each image: `python -m tests.fuzz.target CORPUS` and libFuzzer's options,
as tests/fuzz/guided.py starts it.
"""

from __future__ import annotations

import sys

import atheris

from tests.fuzz.findings import keep

with atheris.instrument_imports(include=["s3archivefs"]):
    from tests.support.images.survive import survive


def one_image(image: bytes) -> None:
    """Survive an image, and keep it where that fails: the search goes on."""
    try:
        survive(image)
    except Exception as error:  # noqa: BLE001 -- each is a finding
        keep(image, error)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_image)
    atheris.Fuzz()
