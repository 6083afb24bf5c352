"""The pages of recipes, from top to bottom, with what they say that each costs in requests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.data.conftest import BUCKET
from tests.support.documents.pages import Block, blocks, prose

if TYPE_CHECKING:
    from tests.support.proxy.counting_proxy import CountingProxy
    from tests.support.servers.swift_store import SwiftStore

PAGES = ("docs/data.md", "docs/training.md")
OF_ENGINES = {"RAY_USAGE_STATS_ENABLED": "0", "SPARK_LOCAL_IP": "127.0.0.1"}
"""Settings by which engines ask nobody beyond this machine."""
_ROW = re.compile(r"\| \[(?P<title>[^]]+)\]\(#[^)]+\) \| (?P<most>\d+) \|")


def most_requests(page: str) -> dict[str, int]:
    """The numbers of a page's table, by the title of the example."""
    rows = (_ROW.fullmatch(line) for _, line in prose(page))
    return {row["title"]: int(row["most"]) for row in rows if row}


def title_of(block: Block) -> str:
    """The heading above a block."""
    titles = [line for number, line in prose(block.page) if line[:1] == "#" and number < block.line]
    return titles[-1].lstrip("# ")


def run(block: Block, directory: Path, environ: dict[str, str]) -> str:
    """What a block prints to standard output."""
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    text = block.text.replace("my-bucket", BUCKET)
    done = subprocess.run(
        [*command[block.language], text],
        cwd=directory,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block} ended with status {done.returncode}:\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(900)  # two engines and PyTorch start in processes of their own
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_print_what_they_say_for_what_they_say(
    page: str, store: SwiftStore, bucket: str, proxy: CountingProxy, tmp_path: Path
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "pip").write_text("#!/bin/sh\n")  # all is installed
    (programs / "pip").chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    environ = os.environ | store.environ(endpoint_url=proxy.url) | OF_ENGINES
    environ |= {"PATH": os.pathsep.join(path), "HOME": str(tmp_path)}
    most = most_requests(page)
    counted: dict[str, int] = {}
    found = blocks(page)
    for number, (block, after) in enumerate(pairwise([*found, found[-1]])):
        if block.language not in {"sh", "python"}:
            continue
        cache = tmp_path / f"cache {number}"
        cache.mkdir()
        proxy.reset()
        written = run(block, tmp_path, environ | {"S3ARCHIVEFS_CACHE_DIR": str(cache)})
        if after.language == "text":
            assert written == after.text, f"{after}: is not what {block} prints"
        if title_of(block) in most:
            counted[title_of(block)] = len(proxy.requests)
    assert {*counted} == {*most}
    assert {title: counted[title] for title in most if counted[title] > most[title]} == {}
