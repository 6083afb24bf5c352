"""The `serve` subcommand: mapped archives behind an S3-compatible endpoint.

The `s3archivefs` command loads this module whenever it runs, so whatever costs time to import is
imported by the function that needs it.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from s3archivefs_lambda.commands.errors import UsageError, made_client, require

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.server import S3HttpServer

__all__ = ["register_serve"]

_ENDPOINT_PREFIX = "S3ARCHIVEFS_ENDPOINT_"
_ACCESS_KEY_ID = _ENDPOINT_PREFIX + "ACCESS_KEY_ID"
_SECRET_ACCESS_KEY = _ENDPOINT_PREFIX + "SECRET_ACCESS_KEY"
_DESCRIPTORS = 16384
_MAP_EXAMPLE = "--map docs=./linux.sqfs or --map src=s3://bucket/a.sqfs"


def register_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the subcommands of the `s3archivefs` command."""
    parser = commands.add_parser(
        "serve",
        help="serve images as objects of an S3-compatible endpoint",
        description="Serve the files in squashfs images, here or in S3, as objects of one bucket "
        "behind an S3-compatible HTTP endpoint: path-style requests, reading only.",
        epilog="Mappings in S3ARCHIVEFS_PREFIX_VMAP1 ... 20 and S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE "
        f"are served too. With {_ACCESS_KEY_ID} and {_SECRET_ACCESS_KEY} set, every request must "
        "be signed with them; without, only this machine is served.",
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        dest="maps",
        metavar="PREFIX=IMAGE",
        help="serve the files of IMAGE (a path, file:///path or s3://bucket/key) under PREFIX/; an "
        "empty PREFIX serves them at the root. May be given several times",
    )
    parser.add_argument("--bucket", default="archive", help="name of the bucket (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=9000, help="port to listen on; 0 takes a free one (%(default)s)"
    )
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    try:
        _run(options)
    except UsageError as error:
        return error.report()
    except KeyboardInterrupt:  # before it was up
        return 128 + signal.SIGINT  # as a shell says it
    return 0


def _run(options: argparse.Namespace) -> None:
    from s3archivefs_lambda.config.location import BUCKET_NAME_RULE, is_bucket_name

    if not is_bucket_name(options.bucket):
        raise UsageError(f"--bucket {options.bucket!r}: write {BUCKET_NAME_RULE}")
    config = _config(options.maps, os.environ)
    verifier = _verifier(os.environ)
    _check_address(options.host, options.port, signed=verifier is not None)
    _check_images(config.mappings)
    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.archives.client import make_archive_client
    from s3archivefs_lambda.bucket.operations import Operations
    from s3archivefs_lambda.endpoint.application import make_app
    from s3archivefs_lambda.endpoint.lanes import ArchiveLanes
    from s3archivefs_lambda.endpoint.limits import STOP_SECONDS
    from s3archivefs_lambda.endpoint.server import S3HttpServer
    from s3archivefs_lambda.endpoint.thread_shares import THREADS
    from s3archivefs_lambda.request_log import write_lines

    make_client = partial(make_archive_client, requests=THREADS)
    if any(mapping.location.scheme == "s3" for mapping in config.mappings):
        made_client(make_client)  # before the first request would find that it cannot be
    write_lines(sys.stderr)
    logging.getLogger("s3archivefs").setLevel(logging.INFO)
    archives = Archives(config, make_client)
    operations = Operations(archives, bucket=options.bucket)
    emf = config.metrics == "emf"
    lanes = ArchiveLanes(config.mappings)
    app = make_app(operations, bucket=options.bucket, verifier=verifier, lanes=lanes, emf=emf)
    _use_more_descriptors()
    server = S3HttpServer(app, host=options.host, port=options.port)
    ready = False
    try:
        with _held_back(signal.SIGINT, signal.SIGTERM):  # half of its threads could not be stopped
            _start(server, options)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        ready = True  # before it says so: who reads that may stop it at once
        sys.stdout.write(_ready_line(server.url, options.bucket, config.mappings, verifier))
        sys.stdout.flush()
        server.wait()
    except KeyboardInterrupt:
        if not ready:
            raise
        # Those who cannot wait for the requests in flight ask a second time.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _exit_after(STOP_SECONDS + 1)  # Docker kills 10 s after it has asked
    finally:
        server.stop()


def _use_more_descriptors() -> None:
    """Let the process have as many descriptors as it may: each connection is one, and the 1,024
    that most begin with are few. None is passed to select(2), which takes no more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard < 0 else min(hard, _DESCRIPTORS)
    if 0 <= soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def _held_back(*signals: signal.Signals) -> Iterator[None]:
    """Let signals wait until the context ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _exit_after(seconds: float) -> None:
    """Let the process end by then at the latest, whatever its threads do.

    One that waits for S3 cannot be stopped, nor does Python end before it: that takes 25 s while S3
    is silent, and as long again for requests that wait for a thread.
    """

    def end() -> None:
        said = b"s3archivefs: stopped without waiting any longer for requests under way\n"
        with suppress(OSError, ValueError):
            # Past sys.stderr, whose lock a thread may hold that writes to what nobody reads.
            if select.select([], [2], [], 0)[1]:
                os.write(2, said)
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _start(server: S3HttpServer, options: argparse.Namespace) -> None:
    try:
        server.start()
    except OSError as error:
        raise UsageError(
            f"cannot listen on {options.host} port {options.port}: {error.strerror}; "
            "choose another with --host and --port (0 takes a free port)"
        ) from error


def _ready_line(url: str, bucket: str, mappings: PrefixMap, verifier: Verifier | None) -> str:
    count = f"{len(mappings)} mapping{'' if len(mappings) == 1 else 's'}"
    unsigned = " --no-sign-request" if verifier is None else ""
    return (
        f's3archivefs: serving bucket "{bucket}" on {url} ({count}); '
        f"try: aws{unsigned} --endpoint-url {url} s3 ls s3://{bucket}/\n"
    )


# ---- What is served ------------------------------------------------------------------------------


def _config(maps: list[str], environ: Mapping[str, str]) -> Config:
    """The settings, with the mappings of the options among those of the variables."""
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.config.settings import Config

    try:
        config = Config.from_environ(environ)
        given = [_parse_map(text) for text in maps]
        mappings = PrefixMap.from_mappings([*config.mappings, *given])
    except SettingError as error:
        raise UsageError(str(error)) from error
    if not mappings:
        raise UsageError(f"there is nothing to serve: give a mapping, such as {_MAP_EXAMPLE}")
    return replace(config, mappings=mappings)


def _parse_map(text: str) -> PrefixMapping:
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.prefix_map import parse_mapping

    prefix, equals, image = text.partition("=")
    if not equals or not image:
        raise SettingError(f"--map {text}: write PREFIX=IMAGE, such as {_MAP_EXAMPLE}")
    if "|" in prefix:
        raise SettingError(f'--map {text}: the prefix has a "|", which no mapping can have')
    if "://" not in image:
        image = "file://" + quote(os.fsencode(Path(image).absolute()))
    return parse_mapping(f"{prefix}|{image}", f"--map {text}")


def _check_images(mappings: PrefixMap) -> None:
    """Open each local image once; those in S3 wait for their first request."""
    import s3archivefs

    in_s3 = next((mapping for mapping in mappings if mapping.location.scheme == "s3"), None)
    if in_s3 is not None:
        require("botocore", extra="lambda", what=in_s3.origin)
    origins: dict[str, list[str]] = {}  # of each image, however many prefixes it is mapped to
    for mapping in mappings:
        if mapping.location.scheme == "file":
            origins.setdefault(mapping.location.key, []).append(mapping.origin)
    faults = []
    for image, named_by in origins.items():
        try:
            s3archivefs.open(image).close()
        except OSError as error:
            faults += [f"{origin}: {image}: {error.strerror or error}" for origin in named_by]
        except s3archivefs.SquashfsError as error:
            faults += [f"{origin}: {image}: {error}" for origin in named_by]
    if faults:
        raise UsageError("\n".join(faults))


# ---- To whom -------------------------------------------------------------------------------------


def _verifier(environ: Mapping[str, str]) -> Verifier | None:
    from s3archivefs_lambda.endpoint.authentication import Verifier

    known = {_ACCESS_KEY_ID, _SECRET_ACCESS_KEY}
    # A misspelt name must not open the endpoint to everybody.
    for name in sorted(name for name in environ if name.startswith(_ENDPOINT_PREFIX)):
        if name not in known:
            raise UsageError(f"{name}: there is no such setting; there are {_names(known)}")
    given = {name for name in known if environ.get(name)}
    if not given:
        return None
    if given != known:
        raise UsageError(f"{_names(known - given)}: set it too, or neither of the two")
    return Verifier(environ[_ACCESS_KEY_ID], environ[_SECRET_ACCESS_KEY])


def _names(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _check_address(host: str, port: int, *, signed: bool) -> None:
    """Hold the address to what can be listened on, and to whom it would serve."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: write a number from 0 to 65535")
    try:
        addresses = list(_addresses(host))
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--host {host}: is not an address: {getattr(error, 'strerror', error)}"
        ) from error
    if not signed and not all(address.is_loopback for address in addresses):
        raise UsageError(
            f"--host {host}: other machines are served signed requests only; set {_ACCESS_KEY_ID} "
            f"and {_SECRET_ACCESS_KEY}, or listen on 127.0.0.1"
        )


def _addresses(host: str) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    if not host:
        raise OSError("it is empty")
    for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        yield ipaddress.ip_address(str(address[0]).partition("%")[0])
