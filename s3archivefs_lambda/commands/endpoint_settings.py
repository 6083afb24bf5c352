"""The settings that only the endpoint has: options of `serve`, or variables in their place.

`ENDPOINT_SETTINGS` is the one table of them; docs/settings.md repeats it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.config.names import (
    ENDPOINT_ACCESS_KEY_ID,
    ENDPOINT_PREFIX,
    ENDPOINT_SECRET_ACCESS_KEY,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

__all__ = [
    "ENDPOINT_SETTINGS",
    "LIMIT_SETTINGS",
    "EndpointSetting",
    "add_options",
    "check_variables",
    "given_settings",
]


class EndpointSetting(NamedTuple):
    """One row of the table."""

    option: str
    """The option's name without its hyphens."""
    metavar: str
    doc: str
    """Its meaning, for docs/settings.md."""
    is_list: bool = False
    """Whether it may be given several times; values are separated by commas."""

    @property
    def variable(self) -> str:
        """The variable in the place of the option."""
        name = self.option.upper().replace("-", "_")
        return f"{ENDPOINT_PREFIX}{name}{'S' if self.is_list else ''}"

    def __str__(self) -> str:
        """Return both names, for messages: either may have given the value."""
        return f"--{self.option} ({self.variable})"


KEYS_FILE = EndpointSetting(
    "keys-file",
    "FILE",
    "JSON file with the access keys, and what each may read. Nobody but its owner may be able to "
    "read it. It is read again at SIGHUP.",
)
KEYS_SECRET = EndpointSetting(
    "keys-secret",
    "NAME",
    "Name or ARN of a secret in AWS Secrets Manager that holds such a document. It is read again "
    "at SIGHUP.",
)
DOMAIN = EndpointSetting(
    "domain",
    "NAME",
    "Domain of the endpoint: BUCKET.NAME names a bucket (virtual-host addressing). For several, "
    "give it again; in the variable, separate them by commas. localhost always is one.",
    is_list=True,
)
TLS_CERT = EndpointSetting(
    "tls-cert",
    "FILE",
    "PEM file with the certificate, and those up to its root; the endpoint then speaks HTTPS. It "
    "is read again at SIGHUP.",
)
TLS_KEY = EndpointSetting(
    "tls-key",
    "FILE",
    "PEM file with the certificate's key, without a password. Nobody but its owner may be able to "
    "read it.",
)
FORWARDED_ALLOW_IPS = EndpointSetting(
    "forwarded-allow-ips",
    "ADDRESSES",
    "Addresses and networks of the proxies whose X-Forwarded-For is believed, separated by commas. "
    "The log and the shares of memory then go by the address of the client behind them.",
)
CORS_ORIGIN = EndpointSetting(
    "cors-origin",
    "ORIGIN",
    "Origin whose pages may read through a browser, such as https://app.example.com; one * stands "
    "for any characters of the host. For several, give it again; in the variable, separate them "
    "by commas. Unset: none.",
    is_list=True,
)
CACHE_CONTROL = EndpointSetting(
    "cache-control",
    "VALUE",
    "Cache-Control of objects, such as max-age=300, for a browser or a CDN in front. It may keep "
    "them longer than the archive is the current one.",
)
WORKERS = EndpointSetting(
    "workers",
    "N",
    "Processes that serve, each with one processor. Unset: as many as there are processors, by "
    "affinity and cgroup. They share the memory that the settings allow, and the chunk cache.",
)
PAGE = EndpointSetting(
    "page",
    "on|off|auto",
    "Whether browsers get a page to look through buckets. auto, as if unset: on a loopback address "
    "alone. With access keys, the page has people sign in.",
)
THREADS = EndpointSetting(
    "threads",
    "N",
    "Requests that each worker runs at the same time; mostly they wait for S3 or a disk. Half of "
    "them at most are for one bucket in S3, a quarter is kept for local images. Unset: 32.",
)
CONNECTIONS_PER_CLIENT = EndpointSetting(
    "connections-per-client",
    "N",
    "Connections that each worker keeps open to one address, but for trusted proxies. For one "
    "more, one of the same address that waits is closed; if all are busy, the new one gets 503 "
    "SlowDown. Unset: as many as there is room for.",
)
HEAD_SECONDS = EndpointSetting(
    "head-seconds",
    "SECONDS",
    "Seconds in which a client must send a request's head, or end TLS's handshake. Unset: 15.",
)
IDLE_SECONDS = EndpointSetting(
    "idle-seconds",
    "SECONDS",
    "Seconds until a connection without a request is closed. Behind a load balancer, more than "
    "its own: else it sends requests to connections that close. Unset: 60.",
)
STOP_SECONDS = EndpointSetting(
    "stop-seconds",
    "SECONDS",
    "Seconds that requests in flight have after SIGTERM. What stops the endpoint kills it after a "
    "time of its own, which must be 2 seconds longer: Docker's is 10. Unset: 8.",
)
MIN_BYTES_PER_SECOND = EndpointSetting(
    "min-bytes-per-second",
    "BYTES",
    "Bytes a second that a client must take of its answer, on average over a minute. Unset: 1024.",
)
METRICS_PORT = EndpointSetting(
    "metrics-port",
    "PORT",
    "Port on which /metrics, /-/healthy and /-/ready are answered, unsigned and without TLS; 0 "
    "takes a free one. Unset: none.",
)
METRICS_HOST = EndpointSetting(
    "metrics-host",
    "ADDRESS",
    "Address of that port. What is there tells the archives' names: open it to those only who may "
    "know them. Unset: 127.0.0.1.",
)
LIMIT_SETTINGS = (
    *(WORKERS, THREADS, CONNECTIONS_PER_CLIENT),
    *(HEAD_SECONDS, IDLE_SECONDS, STOP_SECONDS, MIN_BYTES_PER_SECOND),
)
ENDPOINT_SETTINGS = (
    *(KEYS_FILE, KEYS_SECRET, TLS_CERT, TLS_KEY, DOMAIN, FORWARDED_ALLOW_IPS),
    *(CORS_ORIGIN, CACHE_CONTROL, PAGE),
    *LIMIT_SETTINGS,
    *(METRICS_PORT, METRICS_HOST),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to those of `serve`."""
    for setting in ENDPOINT_SETTINGS:
        parser.add_argument(
            f"--{setting.option}",
            metavar=setting.metavar,
            action="append" if setting.is_list else "store",
            help=f"{setting.doc} Variable: {setting.variable}",
        )


def check_variables(environ: Mapping[str, str]) -> None:
    """Raise UsageError for variables of unknown names.

    A misspelt one must not open the endpoint to everybody.
    """
    known = {setting.variable for setting in ENDPOINT_SETTINGS}
    known |= {ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY}
    names = ", ".join(sorted(known))
    unknown = [name for name in sorted(environ.keys() - known) if name.startswith(ENDPOINT_PREFIX)]
    if unknown:
        faults = (f"{name}: there is no such setting; there are {names}" for name in unknown)
        raise UsageError("\n".join(faults))


def given_settings(
    options: argparse.Namespace, environ: Mapping[str, str]
) -> dict[EndpointSetting, str]:
    """Return the values that are given and not empty; an option comes before its variable."""
    values = {}
    for setting in ENDPOINT_SETTINGS:
        value = getattr(options, setting.option.replace("-", "_"))
        if setting.is_list and value is not None:
            value = ",".join(value)
        if value := value or environ.get(setting.variable):
            values[setting] = value
    return values
