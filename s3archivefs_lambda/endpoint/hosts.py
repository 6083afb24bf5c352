"""The names by which clients address the endpoint, and the buckets that these names name.

Addressed as a virtual host, a bucket is the first part of the host's name: `archive.localhost`.
Otherwise it is the first part of the path.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["Host", "Hosts"]

_LOCAL = "localhost"
_PORT = re.compile(r":[0-9]*$")
_MAX_LENGTH = 255 + 6  # of a DNS name (RFC 1035, 2.3.4), with a port
_REMEMBERED = 256  # hosts: clients of an endpoint use few


class Host(NamedTuple):
    """What a Host header says."""

    bucket: str
    """The bucket that it names; empty if the path does."""
    is_ours: bool
    """Whether it is a name of this machine, or of a domain of the endpoint's.

    By any other name, a page can lead a browser on this machine to send a request here and hand
    the page the answer (DNS rebinding). Nobody but this machine resolves `*.localhost` (RFC 6761).
    """


class Hosts:
    """Reads Host headers. `domains` have buckets as their subdomains; `localhost` always has."""

    def __init__(self, domains: Iterable[str] = ()) -> None:
        # If one domain lies in another, the longer one has what both could.
        self._domains = sorted({_LOCAL, *map(str.lower, domains)}, key=len, reverse=True)
        self._read: Callable[[str], Host] = lru_cache(_REMEMBERED)(self._parse)

    def read(self, header: str) -> Host:
        """Return what a Host header says; its port does not matter."""
        return Host("", is_ours=False) if len(header) > _MAX_LENGTH else self._read(header)

    def _parse(self, header: str) -> Host:
        name = _PORT.sub("", header).lower()
        for domain in self._domains:
            if name == domain:
                return Host("", is_ours=True)
            if name.endswith("." + domain):
                return Host(name.removesuffix("." + domain), is_ours=True)
        try:
            return Host("", ipaddress.ip_address(name.strip("[]")).is_loopback)
        except ValueError:
            return Host("", is_ours=not name)
