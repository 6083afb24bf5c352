"""Which files an event loop must not ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.archives.mounts import may_hang

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = r"""
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 21 0:50 / {at}/nfs rw,relatime shared:9 master:2 - nfs4 server:/export rw,vers=4.2
31 30 8:2 / {at}/nfs/disk rw - xfs /dev/sdb1 rw
32 21 0:51 / {at}/a\040b rw - fuse.sshfs host: rw
33 21 8:3 / {at}/over rw - ext4 /dev/sdc1 rw
34 33 0:52 / {at}/over rw - cifs //host/share rw
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *(("x.sqfs", False), ("nfs/x.sqfs", True), ("nfs/disk/x.sqfs", False)),
        *(("nfs2/x.sqfs", False), ("a b/d/x.sqfs", True), ("over/x.sqfs", True), ("link", True)),
        ("loop", False),
    ],
)
def test_files_behind_a_network_may_hang(tmp_path: Path, path: str, *, expected: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS.format(at=tmp_path.resolve()).lstrip())
    (tmp_path / "link").symlink_to("nfs/x.sqfs")
    (tmp_path / "loop").symlink_to("loop")
    assert may_hang(str(tmp_path / path), mounts) is expected


def test_mounts_with_odd_names_are_read_past(tmp_path: Path) -> None:
    """Anyone who may mount names a mount: that must stop nobody else."""
    mounts = tmp_path / "mountinfo"
    at = bytes(tmp_path.resolve())
    odd = b"35 21 0:53 / " + at + b"/t rw - tmpfs a\rb\xff\x0c\xc2\x85c rw\nno mount\n\n"
    mounts.write_bytes(odd + b"36 21 0:54 / " + at + b"/\xff\\040 rw - nfs host:/\r rw\n")
    assert not may_hang(str(tmp_path / "t/x"), mounts)
    assert may_hang(str(tmp_path / "\udcff /x"), mounts)


def test_without_a_list_of_mounts_no_file_is_known_to_hang(tmp_path: Path) -> None:
    assert not may_hang(str(tmp_path / "x"), tmp_path / "missing")


def test_a_file_of_this_machine_does_not_hang(tmp_path: Path) -> None:
    assert not may_hang(str(tmp_path / "x"))
