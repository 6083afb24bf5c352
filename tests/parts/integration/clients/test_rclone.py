"""The real rclone through `s3archivefs serve`."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parts.integration.clients.conftest import contents, files, run
from tests.support.servers.transports import BUCKET

if TYPE_CHECKING:
    import subprocess

    from tests.parts.integration.clients.conftest import Program
    from tests.support.servers.swift_store import SwiftStore
    from tests.support.servers.transports import Transport

NOTHING_TRANSFERRED = 9
"""rclone's exit status that `--error-on-no-transfer` asks for."""
REMOTE = f"served:{BUCKET}"
# In its output rclone shows control characters as the pictures that Unicode has of them.
PICTURES = {code: 0x2400 + code for code in range(32)} | {127: 0x2421}


@pytest.fixture(scope="module")
def rclone(store: SwiftStore, endpoint: Transport) -> Program:
    """Run an rclone command; the endpoint is the remote `served`, known from the environment alone.

    Of other servers than those it knows, rclone asks for names as they are, unless it is told that
    they may be URL-encoded: names with control characters, which XML cannot hold, need that. And it
    takes names for one that are equal once normalized.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RCLONE_")}
    environ |= {
        "RCLONE_CONFIG": os.devnull,
        "RCLONE_CONFIG_SERVED_TYPE": "s3",
        "RCLONE_CONFIG_SERVED_PROVIDER": "Other",
        "RCLONE_CONFIG_SERVED_ENDPOINT": endpoint.url,
        "RCLONE_CONFIG_SERVED_ACCESS_KEY_ID": store.access_key,
        "RCLONE_CONFIG_SERVED_SECRET_ACCESS_KEY": store.secret_key,
        "RCLONE_CONFIG_SERVED_LIST_URL_ENCODE": "true",
        "RCLONE_NO_UNICODE_NORMALIZATION": "true",
    }
    executable = str(Path(sysconfig.get_path("scripts")) / "rclone")

    def run_rclone(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return run(executable, *arguments, environ=environ, status=status)

    return run_rclone


@pytest.mark.parametrize("version", ["1", "2"])
def test_lsf_lists_every_key_and_size(
    rclone: Program, objects: dict[str, Path], version: str
) -> None:
    listing = ("lsf", "--recursive", "--files-only", "--format", "sp", "--s3-list-version", version)
    listed = rclone(*listing, REMOTE).stdout.split("\n")
    assert listed.pop() == ""
    expected = [f"{path.stat().st_size};{key.translate(PICTURES)}" for key, path in objects.items()]
    assert sorted(listed) == sorted(expected)


def test_lsf_lists_directories_that_hold_files(rclone: Program, sample: Path) -> None:
    listed = rclone("lsf", "--recursive", "--dirs-only", f"{REMOTE}/sample").stdout.splitlines()
    directories = {
        f"{parent}/" for name in files(sample) for parent in Path(name).parents if parent.name
    }
    assert sorted(listed) == sorted(directories)


def test_copy_of_a_subtree_keeps_names_that_need_care_and_copies_nothing_twice(
    rclone: Program, sample: Path, tmp_path: Path
) -> None:
    copy = ("copy", "--error-on-no-transfer", f"{REMOTE}/sample", str(tmp_path))
    rclone(*copy)
    assert contents(tmp_path) == contents(sample)
    rclone(*copy, status=NOTHING_TRANSFERRED)


def test_check_finds_the_whole_tree_equal(rclone: Program, tree: Path) -> None:
    # Without --download sizes alone would be compared: the ETags are no MD5s.
    compare = ("check", "--download", "--copy-links", "--combined", "-")
    left_out = ("--exclude", "/awkward names/dangling")  # rclone fails on it where it lies on disk
    done = rclone(*compare, *left_out, str(tree), f"{REMOTE}/library")
    assert sorted(done.stdout.splitlines()) == sorted(f"= {name}" for name in files(tree))
