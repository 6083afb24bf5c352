"""A page over many small archives, and reads in turn, behind a slow store.

    python -m benchmarks many-archives [--archives 300] [--latency-ms 20]

The store is a process of its own, and answers each request after the latency. This process makes
the pages, XML included. A table, with the goals, goes to standard output in Markdown.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from fixtures.tree import file
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.client import make_archive_client
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.location import Location
from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
from s3archivefs_lambda.config.settings import Config
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import SECRETS, Reply, Request, ScriptedStore

__all__ = ["main"]

_FILES = 3


class Goal(NamedTuple):
    """The goal, with 300 archives and 20 ms a request."""

    seconds: float | None
    requests: int | None


GOALS = {
    "first page, nothing cached": Goal(2.5, None),
    "the same page again": Goal(1.0, 0),
    "first page of a fresh process, chunks on disk": Goal(2.5, None),
    "a GET from each of 100 archives in turn": Goal(None, None),
    "the same GETs again": Goal(None, 0),
}


class Cost(NamedTuple):
    """The cost of one measurement."""

    seconds: float
    requests: int


# ---- The store -----------------------------------------------------------------------------------


def _serve(connection: Connection, image: bytes, latency: float) -> None:
    """Send the URL; answer each message with the number of requests since the last one."""

    def late(_: Request, reply: Reply) -> Reply:
        time.sleep(latency)
        return reply

    with ScriptedStore(image) as store:
        store.script(late, times=10**9)
        connection.send(store.url)
        while connection.recv() == "count":
            connection.send(len(store.requests))
            store.requests.clear()


@contextmanager
def _store(image: bytes, latency: float) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    mine, others = context.Pipe()
    process = context.Process(target=_serve, args=(others, image, latency))
    process.start()
    try:
        yield mine
    finally:
        mine.send("end")
        process.join()


# ---- What is measured ----------------------------------------------------------------------------


def _operations(archives: int, cache: Path) -> Operations:
    """Return operations as a fresh process has them."""
    mappings = [
        PrefixMapping(f"a{number:05}", Location("s3", "bucket", f"{number}.sqfs"), "here")
        for number in range(archives)
    ]
    config = replace(
        Config.from_environ({"S3ARCHIVEFS_REVALIDATE_SECONDS": "600"}),
        cache_dir=cache,
        mappings=PrefixMap.from_mappings(mappings),
    )
    client = make_archive_client()
    return Operations(Archives(config, lambda: client))


def _list(operations: Operations, archives: int) -> None:
    response = ask(operations, "ListObjectsV2", S3Request(query={"list-type": "2"}))
    keys = b"".join(response.body).count(b"<Key>")
    response.close()
    assert keys == min(1000, archives * _FILES), keys


def _get(operations: Operations, archives: int) -> None:
    for number in range(min(archives, 100)):
        response = ask(operations, "GetObject", S3Request(key=f"a{number:05}/f1"))
        assert b"".join(response.body) == b"content 1"
        response.close()


def _measured(connection: Connection, action: Callable[[], None]) -> Cost:
    connection.send("count")
    connection.recv()
    started = time.perf_counter()
    action()
    seconds = time.perf_counter() - started
    connection.send("count")
    return Cost(seconds, connection.recv())


def _measure(archives: int, latency: float, directory: Path) -> list[Cost]:
    tree = tuple(file(f"f{number}", b"content %d" % number) for number in range(_FILES))
    image = make_image(directory, tree).read_bytes()
    with _store(image, latency) as connection:
        os.environ |= {
            "AWS_ENDPOINT_URL_S3": connection.recv(),
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": SECRETS[0],
            "AWS_SECRET_ACCESS_KEY": SECRETS[1],
        }
        cache = directory / "cache"
        first = _operations(archives, cache)
        costs = [_measured(connection, lambda: _list(first, archives)) for _ in range(2)]
        time.sleep(1)  # a background thread still writes the last chunks
        second = _operations(archives, cache)
        costs.append(_measured(connection, lambda: _list(second, archives)))
        third = _operations(archives, directory / "another-cache")
        costs += [_measured(connection, lambda: _get(third, archives)) for _ in range(2)]
    return costs


def main(arguments: Sequence[str]) -> None:
    """Measure pages and reads, and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks many-archives", description=__doc__)
    parser.add_argument("--archives", type=int, default=300)
    parser.add_argument("--latency-ms", type=float, default=20.0, help="of each request")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        costs = _measure(options.archives, options.latency_ms / 1000, Path(directory))
    print(f"{options.archives} archives of {_FILES} files, {options.latency_ms:g} ms a request\n")
    print("| what | seconds | requests | goal | met |\n|---|---|---|---|---|")
    for (what, goal), cost in zip(GOALS.items(), costs, strict=True):
        goals = [
            *([f"{goal.seconds} s"] if goal.seconds is not None else []),
            *([f"{goal.requests} requests"] if goal.requests is not None else []),
        ]
        is_met = (goal.seconds is None or cost.seconds <= goal.seconds) and (
            goal.requests is None or cost.requests <= goal.requests
        )
        verdict = ("yes" if is_met else "no") if goals else ""
        print(f"| {what} | {cost.seconds:.2f} | {cost.requests} | {', '.join(goals)} | {verdict} |")
