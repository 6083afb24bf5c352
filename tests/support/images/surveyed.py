"""Import this before forking: children then find loaded what the reader loads on first use.

Each would otherwise import construct and the codecs anew, which takes longer than most cases do.
"""

from __future__ import annotations

from tests.support.images.fixtures import FIXTURES
from tests.support.images.survive import survive

for codec in ("gzip", "lzma", "lzo", "xz", "lz4", "zstd"):
    survive(FIXTURES[codec].image.read_bytes())
