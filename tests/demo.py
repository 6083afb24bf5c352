"""The main job on real parts: thousands of small files in one S3 object, read one by one by the AWS
CLI.

python -m tests.demo [--once]

Packs the running Python's standard library into a real S3 server (OpenStack Swift's s3api,
signatures checked) with `s3archivefs pack`, serves it with `s3archivefs serve`, and reads it with
the real AWS CLI, counting what each command costs in requests to S3. With `--once` it ends after
the checks, with status 1 if anything read differed.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.proxy.counting_proxy import CountingProxy
from tests.support.servers.served import ServeError, served
from tests.support.servers.swift_store import SwiftStore, SwiftStoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE_BUCKET = "archives"
IMAGE_KEY = "python.sqfs"
BUCKET = "archive"
PREFIX = "python"
LEFT_OUT = ("site-packages", "dist-packages")
SHOWN_LINES = 12
AWS = (sys.executable, "-m", "awscli")


def main() -> int:
    """Run the demo; the status is 1 if anything that was read differed."""
    parser = argparse.ArgumentParser(prog="demo", description="Show the main job on real parts.")
    parser.add_argument("--once", action="store_true", help="end after the checks")
    options = parser.parse_args()
    # Like Ctrl-C, what ends the demo from outside leaves neither servers nor files behind.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    tree = Path(sysconfig.get_path("stdlib"))
    with tempfile.TemporaryDirectory(prefix="s3archivefs-demo-") as scratch:
        directory = Path(scratch)
        # The packed tree must not change while it is compared: bytecode goes elsewhere. Without any
        # each program would compile its modules anew.
        sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
        say("Starting an S3 server (OpenStack Swift's s3api, signatures checked)")
        with SwiftStore.start(directory / "store") as store, CountingProxy(store.url) as proxy:
            archive_bytes = pack_into(store, tree)
            source = f"{PREFIX}=s3://{STORE_BUCKET}/{IMAGE_KEY}"
            say(f"$ s3archivefs serve --map {source}")
            environ = store.environ(endpoint_url=proxy.url)
            environ["S3ARCHIVEFS_CACHE_DIR"] = str(directory / "cache")
            log = directory / "endpoint.log"
            with served("--map", source, "--bucket", BUCKET, environ=environ, log=log) as url:
                cli = os.environ | store.environ(endpoint_url=url)
                demo = Demo(tree, archive_bytes, url, proxy, directory, cli)
                demo.run()
                if not options.once:
                    stay(url)
    say(
        "Every byte was equal."
        if not demo.differences
        else f"DIFFERENT: {', '.join(demo.differences)}"
    )
    return 1 if demo.differences else 0


@dataclass
class Demo:
    """The commands, their checks, and their cost."""

    tree: Path
    archive_bytes: int
    url: str
    proxy: CountingProxy
    directory: Path
    environ: dict[str, str]
    """Of the AWS CLI."""
    differences: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Each command as a user would type it, held against the tree that was packed."""
        module = "json/decoder.py"
        content = (self.tree / module).read_bytes()
        listing = self.aws("s3", "ls", f"s3://{BUCKET}/{PREFIX}/json/")
        self.check(
            "s3 ls",
            sorted(line.split()[-1] for line in listing.splitlines()),
            names(self.tree / "json"),
        )

        copy = self.directory / "decoder.py"
        self.aws("s3", "cp", f"s3://{BUCKET}/{PREFIX}/{module}", str(copy), "--no-progress")
        self.check("s3 cp", copy.read_bytes(), content)

        part = self.directory / "part"
        key = ["--bucket", BUCKET, "--key", f"{PREFIX}/{module}"]
        self.aws("s3api", "get-object", *key, "--range", "bytes=100-299", str(part))
        self.check("get-object --range", part.read_bytes(), content[100:300])

        head = json.loads(self.aws("s3api", "head-object", *key))
        self.check("head-object", head["ContentLength"], len(content))

        package = self.directory / "email"
        self.aws(
            "s3", "cp", "--recursive", "--quiet", f"s3://{BUCKET}/{PREFIX}/email/", str(package)
        )
        self.check("s3 cp --recursive", contents(package), contents(self.tree / "email"))

    def aws(self, *arguments: str) -> str:
        """Run one command of the AWS CLI, and say what it cost."""
        command = [*aws_command(self.url), *arguments]
        say(f"\n$ aws {' '.join(command[len(AWS) :])}")
        self.proxy.reset()
        done = subprocess.run(
            command, env=self.environ, check=False, capture_output=True, text=True
        )
        requests = self.proxy.requests
        sent = sum(request.bytes_sent for request in requests)
        if done.returncode:
            raise DemoError(
                f"the AWS CLI failed with status {done.returncode}: {done.stderr.strip()}"
            )
        say(
            f"{shortened(done.stdout)}"
            f"  -> {counted(len(requests), 'request')} to S3, {counted(sent, 'byte')}:"
            f" {100 * sent / self.archive_bytes:.2f} % of downloading the archive"
        )
        return done.stdout

    def check(self, what: str, got: object, wanted: object) -> None:
        """Note a difference."""
        equal = got == wanted
        say(f"  -> {'equal to' if equal else 'DIFFERENT from'} what was packed")
        if not equal:
            self.differences.append(what)


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def pack_into(store: SwiftStore, tree: Path) -> int:
    """Pack the tree into S3 with the command, as a user would; return the archive's bytes."""
    client = store.client()
    client.create_bucket(Bucket=STORE_BUCKET)
    left_out = [f"--exclude=/{name}" for name in LEFT_OUT]
    arguments = ["pack", "--level=3", *left_out, str(tree), f"s3://{STORE_BUCKET}/{IMAGE_KEY}"]
    say(f"$ s3archivefs {shlex.join(arguments)}")
    command = [sys.executable, "-m", "s3archivefs.cli", *arguments]
    done = subprocess.run(command, env=os.environ | store.environ(), check=False)
    if done.returncode:
        raise DemoError(f"packing failed with status {done.returncode}")
    return client.head_object(Bucket=STORE_BUCKET, Key=IMAGE_KEY)["ContentLength"]


def stay(url: str) -> None:
    """Name what to go on with, and serve until Ctrl-C."""
    say(f"""
The endpoint stays up at {url}; Ctrl-C ends it. To go on:
    alias demo={shlex.quote(shlex.join(aws_command(url)))}
    demo s3 ls s3://{BUCKET}/{PREFIX}/
    demo s3 cp s3://{BUCKET}/{PREFIX}/os.py -
    demo s3 sync s3://{BUCKET}/{PREFIX}/email ./email
    curl {url}/{BUCKET}/{PREFIX}/LICENSE.txt""")
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    say("")


def aws_command(url: str) -> list[str]:
    """The AWS CLI for the endpoint, which takes unsigned requests; found where none is on PATH."""
    return [*AWS, "--no-sign-request", "--endpoint-url", url]


def say(line: str) -> None:
    """One line about what happens; seen at once, also through a pipe."""
    print(line, flush=True)


def counted(number: int, noun: str) -> str:
    """A number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shortened(text: str) -> str:
    """The first lines of a command's output."""
    lines = text.splitlines(keepends=True)
    more = len(lines) - SHOWN_LINES
    left_out = f"  ... and {counted(more, 'line')} more\n" if more > 0 else ""
    return "".join(lines[:SHOWN_LINES]) + left_out


def members(tree: Path) -> Iterator[Path]:
    """The regular files that were packed."""
    for top, directories, files in os.walk(tree):
        if Path(top) == tree:
            directories[:] = [name for name in directories if name not in LEFT_OUT]
        yield from (path for name in files if (path := Path(top, name)).is_file())


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory, by its path there."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in members(directory)}


def names(directory: Path) -> list[str]:
    """A directory's names as `aws s3 ls` shows them."""
    return sorted(f"{path.name}/" if path.is_dir() else path.name for path in directory.iterdir())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (DemoError, ServeError, SwiftStoreError) as failure:
        sys.exit(f"demo: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
