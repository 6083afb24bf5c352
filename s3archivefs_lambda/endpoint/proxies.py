"""Proxies in front of the endpoint, which say for whom they ask.

Anybody can send X-Forwarded-For; a proxy appends the address of its own client. So it is believed
from the right, as far as trusted proxies wrote it.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from s3archivefs_lambda.endpoint.messages import HttpRequest

__all__ = ["MOST_PROXIES", "Network", "Proxies"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_PROXIES = 20
"""Addresses of X-Forwarded-For that are read, at most; few chains have five.

Each that was not seen before takes 10 microseconds on the event loop.
"""

_FORWARDED_FOR = "x-forwarded-for"
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+")
_REMEMBERED = 1024  # addresses


class Proxies:
    """The proxies that are trusted, by their networks."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = tuple(networks)
        self.is_trusted: Callable[[str], bool] = lru_cache(_REMEMBERED)(self._lies_within)
        """Return whether an address is that of such a proxy."""

    def client_of(self, request: HttpRequest) -> str:
        """Return the address of whoever sent the request to the first of the proxies."""
        client = request.client
        if not self.is_trusted(client):
            return client
        fields = [value for name, value in request.headers if name == _FORWARDED_FOR]
        for text in reversed(",".join(fields).rsplit(",", MOST_PROXIES)[-MOST_PROXIES:]):
            try:
                client = str(_address(text.strip()))
            except ValueError:  # "unknown", or whatever a client had sent
                return client
            if not self.is_trusted(client):
                return client
        return client

    def _lies_within(self, text: str) -> bool:
        try:
            address = _address(text)
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address that may have a port behind it; raise ValueError for anything else."""
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    address = ipaddress.ip_address(text)
    # A socket for both versions of IP shows addresses of version 4 so.
    return getattr(address, "ipv4_mapped", None) or address
