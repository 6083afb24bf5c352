"""OpenStack Swift's four servers, s3api in front, in one process on loopback.

Run by `swift_store` as ``python -m tests.support.servers.swift_server DIRECTORY``, never imported
by a test: it monkey-patches the standard library with eventlet, as Swift's servers do.

standard input
    one line of JSON, the users as ``{"account:user": [secret, group, ...]}``; its end stops the
    server, so nothing is left running however the parent ends
standard output
    one line of JSON once the server answers: ``{"port": N}``
standard error
    the log

All four WSGI applications are loaded by Swift's own loader from paste.deploy files. In one process
instead of four they start sooner and answer faster, and the listening sockets exist before the
rings that name their ports are written, so that no port has to be guessed.
"""

from __future__ import annotations

import gc
import json
import os
import pwd
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import eventlet
import eventlet.hubs
import eventlet.wsgi
from eventlet.green import os as green_os
from eventlet.green import socket
from swift.common import utils, wsgi
from swift.common.ring import RingBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HOST = "127.0.0.1"
DEVICE = "d1"
LOGGING = {"log_udp_host": HOST}
"""Else, on a machine without /dev/log, the name localhost would have to be known."""

SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = tests
swift_hash_path_suffix = tests
[storage-policy:0]
name = only
default = yes
[swift-constraints]
# Twice the default: long presigned URLs and session tokens fit.
max_header_size = 16384
"""

BACKEND_CONF = """\
[DEFAULT]
user = {user}
swift_dir = {etc}
devices = {devices}
mount_check = false
disable_fallocate = true
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""

# The pipeline that Swift's s3api documents, less what needs another service: see Known.
FILTERS = {
    "catch_errors": "",
    "gatekeeper": "",
    "healthcheck": "",
    "listing_formats": "",
    "bulk": "",
    "s3api": "s3_acl = false\nlocation = us-east-1\n",
    "tempauth": "{users}\n",
    "copy": "",
    "slo": "",
    "dlo": "",
    "versioned_writes": "allow_object_versioning = true\n",
    "symlink": "",
}
"""Each filter on the way of a request, in order, and its settings."""

PROXY_CONF = "\n".join(
    (
        "[DEFAULT]",
        "user = {user}",
        "swift_dir = {etc}",
        "log_level = WARNING",
        "[pipeline:main]",
        f"pipeline = {' '.join(FILTERS)} proxy-server",
        "[app:proxy-server]",
        "use = egg:swift#proxy",
        "account_autocreate = true",
        "allow_account_management = true",
        # Half a second to connect, and ten for an answer, are too few for a machine at its limit;
        # and after ten such faults Swift would refuse all requests for a minute.
        "conn_timeout = 30",
        "node_timeout = 60",
        "error_suppression_limit = 1000000",
        *(f"[filter:{name}]\nuse = egg:swift#{name}\n{set_}" for name, set_ in FILTERS.items()),
    )
)


def listen() -> socket.socket:
    """A listening socket on a free loopback port; accepted connections inherit TCP_NODELAY."""
    listener = eventlet.listen((HOST, 0), backlog=256)
    # Without it a small response on a kept-alive connection waits 40 ms for a delayed ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def write_ring(etc: Path, name: str, port: int) -> None:
    """Write the ring file `name` with one replica on one device served at `port`."""
    builder = RingBuilder(part_power=4, replicas=1, min_part_hours=1)
    builder.add_dev(
        {"id": 0, "region": 1, "zone": 1, "ip": HOST, "port": port, "device": DEVICE, "weight": 1.0}
    )
    builder.rebalance(seed="tests")
    builder.get_ring().save(str(etc / f"{name}.ring.gz"))


def user_lines(users: Mapping[str, Sequence[str]]) -> str:
    """The users as settings of tempauth, which splits their names at ``_``: ours hold none."""
    return "\n".join(
        f"user_{name.replace(':', '_')} = {' '.join(secret_and_groups)}"
        for name, secret_and_groups in users.items()
    )


class Known:
    """An application with a cache of the accounts and containers that are there.

    It stands for memcached. Without it each request asks for its account and its container first,
    which takes half of its time. The proxy forgets here what a request changes, and there is no
    other proxy.
    """

    def __init__(self, application: Callable[..., object]) -> None:
        self._application = application
        self._known: dict[str, dict[str, object]] = {}

    def __call__(self, environ: dict[str, object], start_response: object) -> object:
        environ["swift.cache"] = self
        return self._application(environ, start_response)

    def get(self, key: str, **_: object) -> dict[str, object] | None:
        return self._known.get(key)

    def set(self, key: str, value: dict[str, object], **_: object) -> None:
        if key.startswith(("account/", "container/")) and value["status"] in {200, 204}:
            self._known[key] = value

    def delete(self, key: str) -> None:
        self._known.pop(key, None)


def load(conf_path: Path) -> Callable[..., object]:
    """Load the application of `conf_path`."""
    loaded: Callable[..., object] = wsgi.loadapp(
        str(conf_path), global_conf={"log_name": conf_path.stem, **LOGGING}
    )
    return loaded


def serve(application: Callable[..., object], listener: socket.socket) -> None:
    """Serve an application on `listener` in a green thread."""
    eventlet.spawn_n(
        eventlet.wsgi.server,
        listener,
        application,
        utils.NullLogger(),
        protocol=wsgi.SwiftHttpProtocol,
        socket_timeout=60.0,
        # boto3 needs the header spelled "ETag"; eventlet would send "Etag".
        capitalize_response_headers=False,
    )


def main(directory: Path) -> None:
    """Serve from `directory` until standard input ends."""
    users = json.loads(sys.stdin.readline())
    etc, devices = directory / "etc", directory / "devices"
    etc.mkdir(exist_ok=True)
    (devices / DEVICE).mkdir(parents=True, exist_ok=True)
    common = {"etc": etc, "devices": devices, "user": pwd.getpwuid(os.getuid()).pw_name}
    (etc / "swift.conf").write_text(SWIFT_CONF)
    utils.set_swift_dir(str(etc))
    utils.get_logger({"log_level": "WARNING", **LOGGING}, "swift", log_to_console=True)

    backends = {kind: listen() for kind in ("account", "container", "object")}
    for kind, listener in backends.items():
        write_ring(etc, kind, listener.getsockname()[1])
        conf_path = etc / f"{kind}-server.conf"
        conf_path.write_text(BACKEND_CONF.format(kind=kind, **common))
        serve(load(conf_path), listener)
    front = listen()
    conf_path = etc / "proxy-server.conf"
    conf_path.write_text(PROXY_CONF.format(users=user_lines(users), **common))
    serve(Known(load(conf_path)), front)
    gc.freeze()  # else each full collection goes through all of Swift's modules

    print(json.dumps({"port": front.getsockname()[1]}), flush=True)
    while green_os.read(sys.stdin.fileno(), 4096):
        pass


if __name__ == "__main__":
    utils.monkey_patch()
    eventlet.hubs.use_hub(utils.get_hub())
    main(Path(sys.argv[1]))
