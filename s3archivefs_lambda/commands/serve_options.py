"""All that `serve` is told, by options and variables: every fault at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.commands import serve_settings
from s3archivefs_lambda.commands.bucket_options import served_buckets
from s3archivefs_lambda.commands.capacity import Capacity, capacity_of
from s3archivefs_lambda.commands.endpoint_settings import (
    CACHE_CONTROL,
    CORS_ORIGIN,
    DOMAIN,
    FORWARDED_ALLOW_IPS,
    PAGE,
    TLS_CERT,
    check_variables,
    given_settings,
)
from s3archivefs_lambda.commands.errors import Faults
from s3archivefs_lambda.commands.key_sources import KeySource, key_source
from s3archivefs_lambda.commands.operators_port import operators_address
from s3archivefs_lambda.commands.tls_files import certificate_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from s3archivefs_lambda.config.prefix_map import PrefixMap
    from s3archivefs_lambda.config.settings import Config
    from s3archivefs_lambda.endpoint.browsing.page import PageMaker
    from s3archivefs_lambda.endpoint.cors import Cors
    from s3archivefs_lambda.endpoint.hosts import Hosts
    from s3archivefs_lambda.endpoint.proxies import Proxies
    from s3archivefs_lambda.endpoint.tls import Certificate

__all__ = ["ServeOptions", "checked_options"]


class ServeOptions(NamedTuple):
    """What it is told."""

    config: Config
    default_bucket: str
    buckets: Mapping[str, PrefixMap]
    hosts: Hosts
    proxies: Proxies | None
    cors: Cors
    cache_control: str
    certificate: Certificate | None
    page: PageMaker | None
    capacity: Capacity
    operators_address: tuple[str, int] | None
    key_source: KeySource | None


def checked_options(options: argparse.Namespace, environ: Mapping[str, str]) -> ServeOptions:
    """Return what the command's options and the variables say.

    Raises one UsageError with a line for each fault.
    """
    settings = given_settings(options, environ)
    faults = Faults()
    with faults.collected():
        check_variables(environ)
    maps = serve_settings.mappings(options.maps, faults)
    with faults.collected():
        config = serve_settings.config(environ)
        named = served_buckets(options.buckets, options.archives, config)
        buckets = serve_settings.buckets(maps, config, named)
        serve_settings.check_any(buckets, options.maps)
    with faults.collected():
        hosts = serve_settings.hosts(settings.get(DOMAIN, ""))
    with faults.collected():
        proxies = serve_settings.proxies(settings.get(FORWARDED_ALLOW_IPS, ""))
    with faults.collected():
        cors = serve_settings.cors(settings.get(CORS_ORIGIN, ""))
    with faults.collected():
        cache_control = serve_settings.cache_control(settings.get(CACHE_CONTROL, ""))
    with faults.collected():
        certificate = certificate_of(settings)
    with faults.collected():
        page = serve_settings.page(settings.get(PAGE), options.host, is_tls=TLS_CERT in settings)
    with faults.collected():
        capacity = capacity_of(settings)
    with faults.collected():
        port = operators_address(settings)
    is_signed = True  # unless no keys are meant: those at fault are told of as such
    with faults.collected():
        keys = key_source(settings, environ)
        is_signed = keys is not None
    with faults.collected():
        serve_settings.check_address(options.host, is_signed=is_signed)
    with faults.collected():
        serve_settings.check_port(options.port)
    faults.raise_any()
    return ServeOptions(
        config=config,
        default_bucket=named.default,
        buckets=buckets,
        hosts=hosts,
        proxies=proxies,
        cors=cors,
        cache_control=cache_control,
        certificate=certificate,
        page=page,
        capacity=capacity,
        operators_address=port,
        key_source=keys,
    )
