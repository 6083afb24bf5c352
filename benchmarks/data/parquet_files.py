"""Writes the table of the story `parquet` into a zip.

    python -m benchmarks.data.parquet_files ZIP FILES

prints, as JSON, what its aggregate is.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet

_ROWS, _GROUP_ROWS = 60_000, 20_000
_STATIONS = 97


def main(target: str, count: int) -> None:
    """Write so many files, and tell the sum of each station's values."""
    sums = np.zeros(_STATIONS, "i8")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for number in range(count):
            draw = np.random.default_rng(number)
            station = draw.integers(0, _STATIONS, _ROWS, "i4")
            value = draw.integers(0, 1 << 36, _ROWS, "i8")
            table = {
                "day": np.full(_ROWS, number, "i4"),
                "station": station,
                "value": value,
                "other": draw.integers(0, 1 << 62, _ROWS, "i8"),
            }
            np.add.at(sums, station, value)
            written = io.BytesIO()
            pa.parquet.write_table(
                pa.table(table),
                written,
                row_group_size=_GROUP_ROWS,
                use_dictionary=["station"],
            )
            archive.writestr(f"{number % 10}/{number:04}.parquet", written.getvalue())
    json.dump({"sums": [int(each) for each in sums]}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
