"""How `s3archivefs serve` starts and stops, as a process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fixtures.tree import file
from s3archivefs_lambda.endpoint.access_keys import AccessKey
from tests.support.aws.emf import metrics_of
from tests.support.images.fixtures import make_image
from tests.support.servers.tls import install, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[4]
IMAGE = str(ROOT / "fixtures" / "gzip.sqfs")

ONE_WORKER = {"S3ARCHIVEFS_ENDPOINT_WORKERS": "1"}
WAIT_SECONDS = 200
"""For what comes at once, but on a machine that does much else."""
PROGRAM = (
    "import argparse, os, signal, sys;"
    "from s3archivefs_lambda.commands.serve import register_serve;"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"  # shells ignore it for jobs
    "parser = argparse.ArgumentParser(); register_serve(parser.add_subparsers());"
    "options = parser.parse_args();"
)


def at_import(module: str) -> str:
    """Code that lets Ctrl-C come when that module is looked for."""
    return (
        "from importlib.abc import MetaPathFinder;"
        f"find = lambda _, name, *r: name == {module!r} and os.kill(os.getpid(), signal.SIGINT);"
        "finder = type('Finder', (MetaPathFinder,), {'find_spec': lambda *a: find(*a) or None});"
        "sys.meta_path.insert(0, finder());"
    )


def at_call(name: str) -> str:
    """Code that lets Ctrl-C come when that function is called."""
    owner, _, function = name.rpartition(".")
    return (
        "from pkgutil import resolve_name;"
        f"owner = resolve_name({owner!r}); found = getattr(owner, {function!r});"
        "interrupt = lambda *a, **k: os.kill(os.getpid(), signal.SIGINT) or found(*a, **k);"
        f"setattr(owner, {function!r}, interrupt);"
    )


@pytest.mark.parametrize(
    "interruption",
    [
        at_import("s3archivefs_lambda.config.settings"),
        at_import("s3archivefs_lambda.endpoint.server"),
        at_call("s3archivefs_lambda.bucket.operations.Operations"),
        at_call("socket.create_server"),
        at_call("s3archivefs_lambda.endpoint.request_pool.RequestPool.start"),
    ],
    ids=["import-settings", "import-server", "prepare", "listen", "start-threads"],
)
def test_ctrl_c_before_it_serves_ends_it_quietly(tmp_path: Path, interruption: str) -> None:
    program = PROGRAM + interruption + "sys.exit(options.run(options))"
    done = subprocess.run(
        [sys.executable, "-c", program, "serve", "--map", f"docs={IMAGE}", "--port", "0"],
        cwd=ROOT,
        env=os.environ | ONE_WORKER | {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)},
        check=False,
        capture_output=True,
        timeout=WAIT_SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_asked_to_stop(tmp_path: Path, asked_by: signal.Signals) -> None:
    arguments = ["--map", f"docs={IMAGE}", "--port", "0", "--bucket", "books"]
    program = PROGRAM + "sys.exit(options.run(options))"
    environ = os.environ | {
        **ONE_WORKER,
        "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
        "S3ARCHIVEFS_PREFIX_VMAP7": f"more/docs|file://{IMAGE}",
        "S3ARCHIVEFS_METRICS": "emf",
    }
    with subprocess.Popen(
        [sys.executable, "-c", program, "serve", *arguments],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout
        line = server.stdout.readline()
        found = re.fullmatch(
            r's3archivefs: serving bucket "books" on (http://127\.0\.0\.1:\d+) \(2 mappings\); '
            r"try: aws --no-sign-request --endpoint-url \1 s3 ls s3://books/\n",
            line,
        )
        assert found, line
        with closing(HTTPConnection(urlsplit(found[1]).netloc, timeout=WAIT_SECONDS)) as client:
            client.request("GET", "/books?list-type=2&delimiter=/")
            listing = client.getresponse().read()
        server.send_signal(asked_by)
        out, log = server.communicate(timeout=WAIT_SECONDS)
    assert b"<Prefix>docs/</Prefix>" in listing
    assert b"<Prefix>more/</Prefix>" in listing
    assert server.returncode == 0
    assert out == ""
    (line,) = log.splitlines()
    assert json.loads(line)["operation"] == "ListObjectsV2"
    assert {metric.namespace for metric in metrics_of(line)} == {"s3archivefs"}


def test_it_serves_several_buckets_each_with_its_mappings(tmp_path: Path) -> None:
    environ = {
        "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
        "S3ARCHIVEFS_PREFIX_VMAP1": f"s3://maps/old|file://{IMAGE}",
    }
    maps = ["--map", f"docs={IMAGE}", "--map", f"s3://maps/new={IMAGE}"]
    with serving(*maps, environ=environ) as server:
        assert server.stdout
        line = server.stdout.readline()
        assert line.startswith('s3archivefs: serving buckets "archive", "maps" on http://')
        assert "(3 mappings); " in line
        found = re.search(r"http://\S+", line)
        assert found
        bodies = {}
        with closing(HTTPConnection(urlsplit(found[0]).netloc, timeout=WAIT_SECONDS)) as client:
            for target in ("/", "/archive?delimiter=/", "/maps?delimiter=/", "/maps?location"):
                client.request("GET", target)
                with client.getresponse() as response:
                    assert response.status == 200
                    bodies[target] = response.read().decode()
            for target, status in (("/maps", 200), ("/other", 404), ("/maps/docs/x", 404)):
                client.request("HEAD", target)
                with client.getresponse() as response:
                    assert response.status == status
        server.terminate()
        _, log = server.communicate(timeout=WAIT_SECONDS)
    assert re.findall("<Name>(.*?)</Name>", bodies["/"]) == ["archive", "maps"]
    for bucket, prefixes in (("archive", ["docs/"]), ("maps", ["new/", "old/"])):
        page = bodies[f"/{bucket}?delimiter=/"]
        assert f"<Name>{bucket}</Name>" in page
        assert re.findall("<CommonPrefixes><Prefix>(.*?)<", page) == prefixes
    assert [json.loads(line)["bucket"] for line in log.splitlines()] == [
        *(None, "archive", "maps", "maps"),
        *("maps", "other", "maps"),
    ]


@dataclass
class Served:
    """The endpoint as a process."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def connect(self) -> HTTPConnection:
        return HTTPConnection(urlsplit(self.url).netloc, timeout=WAIT_SECONDS)

    def hang_up(self, lines: int = 1) -> str:
        """Send SIGHUP; what the log says of it, in so many lines."""
        before = self.log.read_text().count(" SIGHUP: ")
        self.process.send_signal(signal.SIGHUP)
        while len(said := re.findall(".* SIGHUP: .*\n", self.log.read_text())) < before + lines:
            time.sleep(0.01)
        return "".join(said[before:])


@contextmanager
def serving_with(*options: str, directory: Path, workers: int = 1) -> Iterator[Served]:
    """Serve with these options."""
    log = directory / "log"
    command = [sys.executable, "-c", f"{PROGRAM}sys.exit(options.run(options))"]
    arguments = ["serve", "--port", "0", "--map", f"docs={IMAGE}", *options]
    environ = os.environ | {
        "S3ARCHIVEFS_ENDPOINT_WORKERS": str(workers),
        "S3ARCHIVEFS_CACHE_DIR": str(directory),
    }
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*command, *arguments], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        try:
            assert process.stdout
            found = re.search(rb"https?://\S+:\d+", process.stdout.readline())
            assert found, log.read_text()
            yield Served(process, found[0].decode(), log)
        finally:
            process.terminate()


def ask(client: HTTPConnection, target: str, headers: dict[str, str] | None = None) -> int:
    """The status of an answer."""
    client.request("GET", target, headers=headers or {})
    with client.getresponse() as response:
        response.read()
        return response.status


def get_signed(url: str, key: AccessKey, target: str) -> int:
    """The status of an answer to a request that this key signed."""
    request = AWSRequest("GET", url + target)
    S3SigV4Auth(Credentials(key.id, key.secret), "s3", "us-east-1").add_auth(request)
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=WAIT_SECONDS)) as client:
        return ask(client, target, dict(request.headers.items()))


def write_keys(path: Path, *keys: AccessKey, prefixes: list[str] | None = None) -> None:
    """Replace the document of access keys, as an operator would."""
    members = {} if prefixes is None else {"prefixes": prefixes}
    new = path.with_name("new")
    new.touch(0o600)
    new.write_text(json.dumps([{"id": key.id, "secret": key.secret, **members} for key in keys]))
    new.replace(path)


def test_sighup_reads_the_access_keys_again_while_connections_stay_open(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old, new = AccessKey("OLD", "secret-of-old"), AccessKey("NEW", "secret-of-new")
    write_keys(file, old)
    target = "/archive?prefix=docs%2Fplain"
    with (
        serving_with("--keys-file", str(file), directory=tmp_path) as server,
        closing(server.connect()) as open_before,
    ):
        assert ask(open_before, "/nowhere") == 404
        assert [get_signed(server.url, key, target) for key in (old, new)] == [200, 403]
        write_keys(file, old, new)
        assert "SIGHUP: 2 access keys are in force" in server.hang_up()
        assert [get_signed(server.url, key, target) for key in (old, new)] == [200, 200]
        file.write_text('[{"id": "OLD", "secret": "secret-of')
        assert re.search(r" SIGHUP: \S+keys.json: is not JSON: line 1", server.hang_up())
        assert [get_signed(server.url, key, target) for key in (old, new)] == [200, 200]
        write_keys(file, new, prefixes=["docs2", "s3://nowhere/docs"])
        assert "SIGHUP: 1 access keys are in force" in server.hang_up()
        assert "key NEW: its prefixes name the bucket nowhere, which" in server.log.read_text()
        assert [get_signed(server.url, key, target) for key in (old, new)] == [403, 403]
        assert ask(open_before, "/nowhere") == 404  # on the same connection
    assert "secret-of" not in server.log.read_text()


def test_every_worker_reads_again_what_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old, new = AccessKey("OLD", "secret-of-old"), AccessKey("NEW", "secret-of-new")
    write_keys(file, old)
    target = "/archive?prefix=docs%2Fplain"
    options = ["--keys-file", str(file)]
    with serving_with(*options, directory=tmp_path, workers=3) as server:
        write_keys(file, new)
        assert server.hang_up(lines=3).count(": 1 access keys are in force\n") == 3
        for _ in range(12):
            assert [get_signed(server.url, key, target) for key in (old, new)] == [403, 200]
        file.write_text("[]")
        assert "there is no key in it" in server.hang_up()
        write_keys(file, old, new)
        # Nothing between: of what cannot be used, the parent alone has told.
        assert server.hang_up(lines=3).count(": 2 access keys are in force\n") == 3


def test_sighup_reads_the_certificate_again(tmp_path: Path) -> None:
    certificate, key = install("one", tmp_path)
    options = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    with serving_with(*options, directory=tmp_path) as server:
        assert server.url.startswith("https://127.0.0.1:")
        assert https_status(server.url, "one") == 404
        key.chmod(0o644)
        assert f"{key}: is not private to its owner" in server.hang_up()
        assert https_status(server.url, "one") == 404
        install("two", tmp_path)
        assert "the certificate is in force" in server.hang_up()
        assert https_status(server.url, "two") == 404
        with pytest.raises(ssl.SSLCertVerificationError):
            https_status(server.url, "one")


def https_status(url: str, trusted: str) -> int:
    """The status of an answer over HTTPS, to a client that trusts this certificate."""
    context = trusting(trusted)
    client = HTTPSConnection(urlsplit(url).netloc, timeout=WAIT_SECONDS, context=context)
    with closing(client):
        return ask(client, "/nowhere")


def test_without_anything_to_read_again_sighup_ends_it(tmp_path: Path) -> None:
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path)}
    with serving("--map", f"docs={IMAGE}", environ=environ) as server:
        assert server.stdout
        assert "serving" in server.stdout.readline()
        server.send_signal(signal.SIGHUP)
        assert server.wait(WAIT_SECONDS) == -signal.SIGHUP


def serving(*arguments: str, environ: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", f"{PROGRAM}sys.exit(options.run(options))"),
            *("serve", "--port", "0", *arguments),
        ],
        cwd=ROOT,
        env=os.environ | ONE_WORKER | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def address_of(server: subprocess.Popen[str]) -> tuple[str, int]:
    """Where it serves, once it does."""
    assert server.stdout
    found = re.search(r" on http://([0-9.]+):(\d+) ", server.stdout.readline())
    assert found
    return found[1], int(found[2])


def test_a_request_in_flight_is_finished_before_it_stops(tmp_path: Path) -> None:
    size = 64 << 20  # more than sockets hold
    image = make_image(tmp_path, (file("large", bytes(size)),))
    with (
        serving("--map", f"={image}", environ={}) as server,
        closing(HTTPConnection(*address_of(server), timeout=WAIT_SECONDS)) as client,
    ):
        client.request("GET", "/archive/large")
        response = client.getresponse()
        server.send_signal(signal.SIGTERM)
        while not is_refused(client.host, client.port):
            pass
        assert len(response.read()) == size
        _, log = server.communicate(timeout=WAIT_SECONDS)
    assert server.returncode == 0
    assert json.loads(log)["status"] == 200


def test_in_lambda_the_line_of_a_request_is_written_before_its_answer(tmp_path: Path) -> None:
    environ = {"S3ARCHIVEFS_CACHE_DIR": str(tmp_path), "AWS_LAMBDA_FUNCTION_NAME": "f"}
    with (
        serving("--map", f"docs={IMAGE}", environ=environ) as server,
        closing(HTTPConnection(*address_of(server), timeout=WAIT_SECONDS)) as client,
    ):
        for target in ("/archive/docs/short.txt", "/archive", "/archive/nothing"):
            client.request("GET", target)
            client.getresponse().read()
        server.kill()  # as one that is frozen ends
        _, log = server.communicate(timeout=WAIT_SECONDS)
    assert [json.loads(line)["status"] for line in log.splitlines()] == [200, 200, 404]


def is_refused(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=WAIT_SECONDS).close()
    except ConnectionError:  # refused, or reset: it came just as the socket was closed
        return True
    return False


def test_s3_that_is_silent_does_not_keep_it_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(WAIT_SECONDS)
        environ = {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:{1}".format(*silent.getsockname()),
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "100",  # as good as for ever
            "S3ARCHIVEFS_CACHE_DIR": str(tmp_path),
        }
        arguments = ["--map", "=s3://bucket/key", "--stop-seconds", "0"]
        with serving(*arguments, environ=environ) as server:
            try:
                with socket.create_connection(address_of(server)) as client:
                    client.sendall(b"GET /archive/k HTTP/1.1\r\nHost:\r\n\r\n")
                    asked, _ = silent.accept()
                    server.send_signal(signal.SIGTERM)
                    out, log = server.communicate(timeout=WAIT_SECONDS)
                    asked.close()
            finally:
                server.kill()
    assert server.returncode == 0
    assert out == ""
    assert log == "s3archivefs: stopped without waiting any longer for requests under way\n"


@pytest.mark.parametrize("stderr", ["closed", "full"])
def test_the_end_does_not_wait_for_who_reads_no_log(stderr: str) -> None:
    made = f"""
import os, time
from s3archivefs_lambda.commands.server_lifecycle import exit_after
reading, writing = os.pipe()
if {stderr == "closed"}:
    os.close(2)
else:
    os.dup2(writing, 2)
    os.set_blocking(2, False)
    try:
        while True:
            os.write(2, bytes(65536))
    except BlockingIOError:
        os.set_blocking(2, True)
exit_after(0)
time.sleep(1000)
"""
    done = subprocess.run([sys.executable, "-c", made], check=False, timeout=WAIT_SECONDS)
    assert done.returncode == 0
