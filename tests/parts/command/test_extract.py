"""`s3archivefs extract` on a disk that fills up: what is there is whole, and another run goes on.

The disk is in memory, mounted in a namespace of its own, which ends with the shell.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fixtures.shapes import noise
from fixtures.tree import file
from tests.support.images.fixtures import make_image
from tests.support.processes.namespaces import WITH_MOUNTS_OF_ITS_OWN

CONTENTS = {f"d{number // 10}/{number:02}": noise(20_000, str(number)) for number in range(50)}
# Named whole, the disk is not given its options again, such as an owner unknown in the namespace.
SCRIPT = """
mount -t tmpfs -o size=400k tmpfs "$disk"
"$python" -m s3archivefs.cli extract --json "$image" -C "$disk" && exit 9
echo "ended with $?"
cp -a "$disk" "$first"
mount -t tmpfs -o remount,size=40m tmpfs "$disk"
"$python" -m s3archivefs.cli extract --json -n "$image" -C "$disk"
cp -a "$disk" "$second"
"""


def contents(top: Path) -> dict[str, bytes]:
    return {
        path.relative_to(top).as_posix(): path.read_bytes()
        for path in top.rglob("*")
        if path.is_file()
    }


def test_a_full_disk_is_one_line_and_another_run_goes_on(tmp_path: Path) -> None:
    tree = tuple(file(path, content) for path, content in CONTENTS.items())
    places = {name: tmp_path / name for name in ("disk", "first", "second")}
    places["disk"].mkdir()
    done = subprocess.run(
        [*WITH_MOUNTS_OF_ITS_OWN, "bash", "-eu", "-c", SCRIPT],
        env={
            **{name: str(path) for name, path in places.items()},
            "image": str(make_image(tmp_path, tree)),
            "python": sys.executable,
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        cwd=Path(__file__).parents[3],
        check=True,
        capture_output=True,
        text=True,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"s3archivefs: {places['disk']}/d")
    assert line.endswith(
        ": No space left on device: what is extracted is whole; make room and go on with"
        " --no-clobber"
    )
    first, second = (contents(places[name]) for name in ("first", "second"))
    assert first.items() < CONTENTS.items()
    assert len(first) > 5
    assert second == CONTENTS
    before, ended, told = done.stdout.splitlines()
    assert f'"files":{len(first)},' in before
    assert ended == "ended with 1"
    assert f'"files":{len(CONTENTS) - len(first)},' in told
    assert f'"kept":{len(first)}' in told
