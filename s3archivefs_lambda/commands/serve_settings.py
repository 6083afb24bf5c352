"""The options and variables of `serve`, checked: what it serves, at which address, to whom."""

from __future__ import annotations

import os
import re
from itertools import chain
from typing import TYPE_CHECKING

from s3archivefs_lambda.commands.endpoint_settings import (
    CACHE_CONTROL,
    CORS_ORIGIN,
    DOMAIN,
    FORWARDED_ALLOW_IPS,
    KEYS_FILE,
    PAGE,
)
from s3archivefs_lambda.commands.errors import UsageError, require
from s3archivefs_lambda.config.names import (
    ENDPOINT_ACCESS_KEY_ID,
    ENDPOINT_SECRET_ACCESS_KEY,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from s3archivefs_lambda.commands.bucket_options import ServedBuckets
    from s3archivefs_lambda.commands.errors import Faults
    from s3archivefs_lambda.config.prefix_map import PrefixMap, PrefixMapping
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.endpoint.browsing.page import PageMaker
    from s3archivefs_lambda.endpoint.cors import Cors
    from s3archivefs_lambda.endpoint.hosts import Hosts
    from s3archivefs_lambda.endpoint.proxies import Proxies

__all__ = [
    "buckets",
    "cache_control",
    "check_address",
    "check_any",
    "check_images",
    "check_port",
    "config",
    "cors",
    "hosts",
    "mappings",
    "page",
    "proxies",
    "shared",
]

_MAP_EXAMPLE = "--map docs=./linux.sqfs or --map src=s3://bucket/a.sqfs"


# ---- What it serves ------------------------------------------------------------------------------


def config(environ: Mapping[str, str]) -> Config:
    """Return the settings in `environ`; raise UsageError for those that cannot be used."""
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.settings import Config

    try:
        return Config.from_environ(environ)
    except SettingError as error:
        raise UsageError(str(error)) from error


def mappings(maps: Sequence[str], faults: Faults) -> list[PrefixMapping]:
    """Return what --map says; keep the faults of each that cannot be used."""
    found = []
    for text in maps:
        with faults.collected():
            found.append(_parse_map(text))
    return found


def buckets(
    maps: Iterable[PrefixMapping], settings: Config, named: ServedBuckets
) -> dict[str, PrefixMap]:
    """Return the mappings of each bucket: those of the settings, of --map and of --bucket.

    The default bucket comes first. Raises UsageError if a prefix is mapped twice.
    """
    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.prefix_map import maps_by_bucket

    further = chain.from_iterable(settings.further_buckets.values())
    try:
        found = maps_by_bucket([*named.objects, *settings.mappings, *further, *maps], named.default)
    except SettingError as error:
        raise UsageError(str(error)) from error
    return dict(sorted(found.items(), key=lambda item: (item[0] != named.default, item[0])))


def check_any(buckets: Mapping[str, PrefixMap], maps: Sequence[str]) -> None:
    """Raise UsageError if nothing is served, and nothing was to be."""
    if not buckets and not maps:
        what = f"give a mapping, such as {_MAP_EXAMPLE}, or a bucket, as --bucket s3://bucket"
        raise UsageError(f"there is nothing to serve: {what}")


def _parse_map(text: str) -> PrefixMapping:
    from pathlib import Path
    from urllib.parse import quote

    from s3archivefs_lambda.config.errors import SettingError
    from s3archivefs_lambda.config.prefix_map import parse_mapping

    prefix, equals, image = text.partition("=")
    if not equals or not image:
        raise UsageError(f"--map {text}: write PREFIX=IMAGE, such as {_MAP_EXAMPLE}")
    if "|" in prefix:
        raise UsageError(f'--map {text}: the prefix has a "|", which no mapping can have')
    if "://" not in image:
        image = "file://" + quote(os.fsencode(Path(image).absolute()))
    try:
        return parse_mapping(f"{prefix}|{image}", f"--map {text}")
    except SettingError as error:
        raise UsageError(str(error)) from error


def hosts(domains: str) -> Hosts:
    """Return what reads Host headers; raise UsageError for a domain that is no name."""
    from s3archivefs_lambda.endpoint.hosts import Hosts

    names = [name.strip() for name in domains.split(",") if name.strip()]
    for name in names:
        labels = name.split(".")
        if labels[-1].isdigit() or not all(re.fullmatch("[A-Za-z0-9-]+", each) for each in labels):
            raise UsageError(f"{DOMAIN} {name}: write a name such as s3.example.com")
    return Hosts(names)


def proxies(networks: str) -> Proxies | None:
    """Return the trusted proxies, if there are any; raise UsageError for what is no network."""
    import ipaddress

    from s3archivefs_lambda.endpoint.proxies import Proxies

    found = []
    for text in filter(None, map(str.strip, networks.split(","))):
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise UsageError(
                f"{FORWARDED_ALLOW_IPS} {text}: {error}; "
                "write addresses such as 10.0.0.7 and networks such as 10.1.0.0/16"
            ) from None
    return Proxies(found) if found else None


def shared(config: Config, processes: int) -> Config:
    """Return the settings of one of so many processes.

    They share the memory that the settings allow, and have one chunk cache on disk anyway.
    """
    from dataclasses import replace

    open_bytes = config.open_archives_bytes // processes
    most = min(config.limits.cache_bytes, open_bytes // 2) if processes > 1 else None
    return replace(
        config,
        cache_memory_bytes=config.cache_memory_bytes // processes,
        open_archives_bytes=open_bytes,
        limits=config.limits if most is None else replace(config.limits, cache_bytes=most),
    )


def cors(origins: str) -> Cors:
    """Return the origins whose pages may read; raise UsageError for what is no origin."""
    from s3archivefs_lambda.endpoint.cors import Cors

    names = [name.strip() for name in origins.split(",") if name.strip()]
    for name in names:
        if name.count("*") > 1 or not re.fullmatch(r"\*|[a-z][a-z0-9+.-]*://[^/?#@\s]+", name):
            raise UsageError(
                f"{CORS_ORIGIN} {name}: write an origin such as https://app.example.com, "
                "without a path and with one * at most, or * for every origin"
            )
    return Cors(names)


def cache_control(value: str) -> str:
    """Return the Cache-Control of objects; raise UsageError for what no header can hold."""
    if not re.fullmatch("[\x20-\x7e]*", value):
        raise UsageError(f"{CACHE_CONTROL} {value!r}: write directives of plain ASCII")
    return value.strip()


def check_images(mappings: Iterable[PrefixMapping]) -> None:
    """Open each local image once; raise UsageError naming every mapping of a faulty one.

    Images in S3 wait for their first request, but need an installed SDK.
    """
    import s3archivefs

    mappings = list(mappings)
    in_s3 = next((mapping for mapping in mappings if not mapping.location.is_local), None)
    if in_s3 is not None:
        require("botocore", extra="lambda", what=in_s3.origin)
    origins: dict[str, list[str]] = {}  # of each image, as several prefixes may be mapped to it
    for mapping in mappings:
        if mapping.location.is_local:
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


def check_port(port: int) -> None:
    """Raise UsageError for a number that no port has."""
    if not 0 <= port <= 65535:
        raise UsageError(f"--port {port}: write a number from 0 to 65535")


def check_address(host: str, *, is_signed: bool) -> None:
    """Raise UsageError unless the address exists and may be served.

    Without signatures only loopback addresses may.
    """
    try:
        addresses = list(_addresses(host))
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"--host {host}: is not an address: {getattr(error, 'strerror', error)}"
        ) from error
    if not is_signed and not all(address.is_loopback for address in addresses):
        raise UsageError(
            f"--host {host}: other machines are served signed requests only; set "
            f"{KEYS_FILE.variable}, or {ENDPOINT_ACCESS_KEY_ID} and {ENDPOINT_SECRET_ACCESS_KEY}, "
            "or listen on 127.0.0.1"
        )


def page(given: str | None, host: str, *, is_tls: bool) -> PageMaker | None:
    """Return what makes the page for browsers, if they get one.

    Raises UsageError for what does not say whether they do.
    """
    from functools import partial

    from s3archivefs_lambda.endpoint.browsing.page import BrowsedOperations

    if given not in {None, "on", "off", "auto"}:
        raise UsageError(f"{PAGE} {given}: write on, off or auto")
    if given == "off" or (given != "on" and not _is_local(host)):
        return None
    return partial(BrowsedOperations, scheme="https" if is_tls else "http")


def _is_local(host: str) -> bool:
    """Return whether only this machine reaches the address; False for what is none."""
    try:
        return all(address.is_loopback for address in _addresses(host))
    except (OSError, UnicodeError):
        return False


def _addresses(host: str) -> Iterator[IPv4Address | IPv6Address]:
    import ipaddress
    import socket

    if not host:
        raise OSError("it is empty")
    for *_, address in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM):
        yield ipaddress.ip_address(str(address[0]).partition("%")[0])
