"""The `serve` subcommand: mapped archives behind an S3-compatible endpoint.

The `s3archivefs` command loads this module whenever it runs, so each function imports what costs
time itself.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from s3archivefs.cli.arguments import HelpFormatter, examples
from s3archivefs_lambda.commands.endpoint_settings import add_options
from s3archivefs_lambda.commands.errors import UsageError, made_client
from s3archivefs_lambda.config.names import ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Container, Mapping

    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.commands.capacity import Capacity
    from s3archivefs_lambda.commands.operators_port import OperatorsPort
    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.endpoint.access_keys import AccessKeys
    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
    from s3archivefs_lambda.endpoint.tls import Certificate

__all__ = ["register_serve"]


def register_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `serve` to the subcommands of the `s3archivefs` command."""
    parser = commands.add_parser(
        "serve",
        help="serve images as objects of an S3-compatible endpoint",
        description="Serve the files in squashfs images, here or in S3, as objects of buckets "
        "behind an S3-compatible HTTP endpoint, for reading only.",
        epilog=examples(
            ("s3archivefs serve --map docs=docs.sqfs", "s3://archive/docs/... on port 9000"),
            ("s3archivefs serve --map =s3://my-bucket/a.sqfs", "an image in S3, at the root"),
            ("s3archivefs serve --bucket s3://my-bucket", "a bucket, archives as directories"),
            note="Mappings in S3ARCHIVEFS_PREFIX_VMAP1 ... 20 and S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE "
            f"are served too. With access keys, from {ENDPOINT_ACCESS_KEY_ID} and "
            f"{ENDPOINT_SECRET_ACCESS_KEY} or from a place that the options name, every request "
            "must be signed; without, only this machine is served.",
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        dest="maps",
        metavar="PREFIX=IMAGE",
        help="serve the files of IMAGE (a path, file:///path or s3://bucket/key) under PREFIX/; an "
        "empty PREFIX serves them at the root. A PREFIX of the form s3://BUCKET/PREFIX is in the "
        "bucket of that name. May be given several times",
    )
    parser.add_argument(
        "--bucket",
        action="append",
        default=[],
        dest="buckets",
        metavar="NAME|URL",
        help="bucket of prefixes that name none (archive). With s3://BUCKET or "
        "s3://BUCKET/PREFIX, the objects of that bucket in S3 are served too, and archives among "
        "them as directories of their files; such ones may be given several times",
    )
    parser.add_argument(
        "--archives",
        action="append",
        default=[],
        metavar="PATTERN",
        help="keys of such archives (*.sqfs): * stands for any characters, / too. May be given "
        "several times",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=9000, help="port to listen on; 0 takes a free one (%(default)s)"
    )
    add_options(parser)
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from s3archivefs_lambda.commands.workers import NoWorkerStartsError

    try:
        _run(options)
    except UsageError as error:
        return error.report()
    except NoWorkerStartsError as error:
        sys.stderr.write(f"s3archivefs: {error}\n")
        return 1
    except KeyboardInterrupt:  # before the server was up
        return 128 + signal.SIGINT  # as shells report it
    return 0


def _run(options: argparse.Namespace) -> None:
    from s3archivefs_lambda.commands.key_sources import tell_of_unserved
    from s3archivefs_lambda.commands.operators_port import OperatorsPort
    from s3archivefs_lambda.commands.reloading import Reloading
    from s3archivefs_lambda.commands.serve_options import checked_options
    from s3archivefs_lambda.commands.serve_settings import check_images, shared
    from s3archivefs_lambda.endpoint.authentication import Verifier

    given = checked_options(options, os.environ)
    buckets, capacity, certificate = given.buckets, given.capacity, given.certificate
    source, verifier = given.key_source, None
    if source is not None:
        verifier = Verifier(source.load(given.default_bucket))
    check_images(chain.from_iterable(buckets.values()))

    from s3archivefs_lambda.archives.reachability import Reachability
    from s3archivefs_lambda.commands.server_lifecycle import serve_until_stopped
    from s3archivefs_lambda.endpoint.application import make_app
    from s3archivefs_lambda.endpoint.probes import WithProbes
    from s3archivefs_lambda.request_log import write_lines

    log = write_lines(sys.stderr)
    logging.getLogger("s3archivefs").setLevel(logging.INFO)
    if verifier is not None:
        tell_of_unserved(verifier.keys, buckets)
    archives = _archives(shared(given.config, capacity.workers), buckets, capacity)
    mapped = chain.from_iterable(buckets.values())
    reachability = Reachability(archives, mapped)
    operators = None
    if given.operators_address is not None:
        operators = OperatorsPort(
            given.operators_address, capacity.workers, archives, reachability, log
        )
    app = make_app(
        _served(archives, buckets),
        verifier=verifier,
        hosts=given.hosts,
        proxies=given.proxies,
        cors=given.cors,
        cache_control=given.cache_control,
        page=given.page,
        emf=given.config.metrics == "emf",
        count=None if operators is None else operators.count,
    )
    ready_line = partial(_ready_line, buckets, verifier, operators)
    reloads = []
    if verifier is not None and source is not None and source.may_change:
        load = partial(source.load, given.default_bucket)
        reloads.append(partial(_reload_keys, verifier, load, buckets))
    if certificate is not None:
        reloads.append(partial(_reload_certificate, certificate))
    serve_until_stopped(
        WithProbes(app, given.hosts, reachability),
        (options.host, options.port),
        ready_line,
        certificate=certificate,
        log=log,
        on_hangup=Reloading(reloads),
        capacity=capacity,
        proxies=given.proxies,
        operators=operators,
    )


def _reload_keys(
    verifier: Verifier, load: Callable[[], AccessKeys], buckets: Container[str]
) -> str:
    from s3archivefs_lambda.commands.key_sources import tell_of_unserved

    verifier.keys = load()
    tell_of_unserved(verifier.keys, buckets)
    return f"{len(verifier.keys)} access keys are in force"


def _reload_certificate(certificate: Certificate) -> str:
    certificate.reload()
    return "the certificate is in force"


def _archives(config: Config, buckets: Mapping[str, PrefixMap], capacity: Capacity) -> Archives:
    """Put together what opens the archives of all buckets, which share memory."""
    from s3archivefs_lambda.archives.archives import Archives
    from s3archivefs_lambda.archives.client import make_archive_client

    mapped = list(chain.from_iterable(buckets.values()))
    # A body that passes through has its connection until its client has taken all of it.
    bodies = capacity.limits().answers if any(mapping.archives for mapping in mapped) else 0
    make_client = partial(make_archive_client, requests=capacity.threads, bodies=bodies)
    if not all(mapping.location.is_local for mapping in mapped):
        made_client(make_client)  # finds unusable settings before the first request does
    return Archives(config, make_client)


def _served(archives: Archives, buckets: Mapping[str, PrefixMap]) -> dict[str, ServedBucket]:
    """Put together what serves each bucket."""
    from s3archivefs_lambda.bucket.operations import Operations
    from s3archivefs_lambda.endpoint.archive_lanes import ArchiveLanes
    from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket

    return {
        name: ServedBucket(Operations(archives, name, mappings=mappings), ArchiveLanes(mappings))
        for name, mappings in buckets.items()
    }


def _ready_line(
    buckets: Mapping[str, PrefixMap],
    verifier: Verifier | None,
    operators: OperatorsPort | None,
    url: str,
) -> str:
    names = ", ".join(f'"{name}"' for name in buckets)
    every = list(chain.from_iterable(buckets.values()))
    stores = [f"the objects of {mapping.location}" for mapping in every if mapping.archives]
    mapped = len(every) - len(stores)
    mappings = [f"{mapped} mapping{'' if mapped == 1 else 's'}"] if mapped else []
    counted = ", ".join([*stores, *mappings])
    unsigned = " --no-sign-request" if verifier is None else ""
    return (
        f"s3archivefs: serving bucket{'' if len(buckets) == 1 else 's'} {names} on {url} "
        f"({counted}); try: aws{unsigned} --endpoint-url {url} s3 ls s3://{next(iter(buckets))}/\n"
        + ("" if operators is None else f"s3archivefs: metrics on {operators.url}/metrics\n")
    )
