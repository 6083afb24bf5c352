"""The servers of a run of tests end however it ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

PROGRAM = """
import sys
from tests.support.servers.server_keeper import ServerKeeper, radosgw, swift

with ServerKeeper() as keeper, swift(keeper.address) as store, radosgw(keeper.address) as gateway:
    with swift(keeper.address) as again:
        assert again.url == store.url
    print(store.url, gateway.url, flush=True)
    sys.stdin.read()
"""


def test_servers_end_when_the_process_that_keeps_them_is_killed() -> None:
    # Its files stay behind; pytest's own directories are too deep for the path of a socket.
    with tempfile.TemporaryDirectory() as directory:
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            cwd=Path(__file__).parents[4],
            env=os.environ | {"TMPDIR": directory},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            urls = process.stdout.readline().split()
            process.kill()
        assert len(urls) == 2
        until = time.monotonic() + 60
        while any(map(listens, urls)):
            assert time.monotonic() < until


def listens(url: str) -> bool:
    parts = urlsplit(url)
    with suppress(ConnectionRefusedError), socket.create_connection((parts.hostname, parts.port)):
        return True
    return False
