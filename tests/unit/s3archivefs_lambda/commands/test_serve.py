from __future__ import annotations

import argparse
import logging
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import s3archivefs
from s3archivefs_lambda.archives import archives
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.archives.open_ahead import OPEN_AHEAD_THREADS
from s3archivefs_lambda.cache.background import AHEAD_THREADS
from s3archivefs_lambda.commands.serve import register_serve
from s3archivefs_lambda.endpoint.limits import HttpLimits
from s3archivefs_lambda.endpoint.thread_shares import THREADS

if TYPE_CHECKING:
    from collections.abc import Callable

    from types_boto3_s3 import S3Client

    from s3archivefs_lambda.config.settings import Config


ROOT = Path(__file__).parents[4]
IMAGE = str(ROOT / "fixtures" / "gzip.sqfs")
KEY_ID = "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID"
SECRET = "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY"


@pytest.fixture(autouse=True)
def log_as_it_was(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The command takes over the request log, and sets a level."""
    caplog.set_level(logging.NOTSET, "s3archivefs")  # which restores it
    log = logging.getLogger("s3archivefs.requests")
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", log.propagate)


def run(*arguments: str) -> int:
    """The subcommand in this process; for faults, after which it does not serve."""
    parser = argparse.ArgumentParser(prog="s3archivefs")
    register_serve(parser.add_subparsers(required=True))
    options = parser.parse_args(["serve", *arguments])
    code: int = options.run(options)
    return code


def fault(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What the one line says that the command ends with."""
    assert run(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("s3archivefs: ")
    assert told.err.endswith("\n")
    assert told.err.count("\n") == 1
    return told.err


def test_nothing_to_serve_says_how_to_give_a_mapping(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--map docs=./linux.sqfs" in fault(capsys)


@pytest.mark.parametrize(
    ("map_", "said"),
    [
        ("docs", "--map docs: write PREFIX=IMAGE"),
        ("docs=", "--map docs=: write PREFIX=IMAGE"),
        ("a|b=x", 'the prefix has a "|"'),
        ("docs=/does/not/exist", "/does/not/exist: No such file or directory"),
        (f"docs={ROOT}", "Is a directory"),
        (f"docs={__file__}", "not a squashfs image"),
        ("docs=s3://bucket", "names no object after the bucket"),
        ("docs=http://host/x", "does not go to s3://bucket/prefix/object or file:///"),
        ("../x=/y", '".." segment'),
        ("s3://Books/x=/y", "is in a bucket named 'Books'"),
    ],
)
def test_a_mapping_that_cannot_be_served_stops_the_start(
    capsys: pytest.CaptureFixture[str], map_: str, said: str
) -> None:
    told = fault(capsys, "--map", map_)
    assert f"--map {map_}" in told
    assert said in told


def test_a_mapping_of_the_environment_is_checked_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_PREFIX_VMAP3", "docs|file:///does/not/exist")
    told = fault(capsys, "--map", f"src={IMAGE}")
    assert "S3ARCHIVEFS_PREFIX_VMAP3" in told
    assert "/does/not/exist" in told


def test_a_prefix_is_mapped_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_PREFIX_VMAP1", f"docs|file://{IMAGE}")
    told = fault(capsys, "--map", f"/docs/={IMAGE}")
    assert "'docs' is already mapped by S3ARCHIVEFS_PREFIX_VMAP1" in told


def test_a_prefix_is_mapped_once_in_each_bucket(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_PREFIX_VMAP1", f"s3://books/docs|file://{IMAGE}")
    told = fault(capsys, "--bucket", "books", "--map", f"docs={IMAGE}")
    assert "'docs' is already mapped by S3ARCHIVEFS_PREFIX_VMAP1" in told


def test_every_fault_has_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--map", "a=/does/not/exist", "--map", f"b={__file__}") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("s3archivefs: --map ") for line in lines)


def test_all_faults_are_told_at_once_each_with_its_variable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = {
        "S3ARCHIVEFS_ENDPOINT_CACHE_CONTROL": "é",
        "S3ARCHIVEFS_ENDPOINT_CORS_ORIGINS": "example.com",
        "S3ARCHIVEFS_ENDPOINT_DOMAINS": "10.0.0.1",
        "S3ARCHIVEFS_ENDPOINT_FORWARDED_ALLOW_IPS": "proxy",
        "S3ARCHIVEFS_ENDPOINT_METRICS_PORT": "x",
        "S3ARCHIVEFS_ENDPOINT_MISSPELT": "x",
        "S3ARCHIVEFS_ENDPOINT_MISSPELT_TOO": "x",
        "S3ARCHIVEFS_ENDPOINT_PAGE": "x",
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": "x",
        "S3ARCHIVEFS_ENDPOINT_STOP_SECONDS": "x",
        "S3ARCHIVEFS_ENDPOINT_THREADS": "x",
        "S3ARCHIVEFS_ENDPOINT_TLS_CERT": "x",
        "S3ARCHIVEFS_ENDPOINT_WORKERS": "x",
        "S3ARCHIVEFS_MISSPELT": "x",
        "S3ARCHIVEFS_TAIL_BYTES": "x",
    }
    other_of_pair = {
        "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID",
        "S3ARCHIVEFS_ENDPOINT_TLS_CERT": "S3ARCHIVEFS_ENDPOINT_TLS_KEY",
    }
    for name, value in faulty.items():
        monkeypatch.setenv(name, value)
    options = {"--map x", "--map y", "--host nohost.invalid", "--port 70000"}
    assert run(*(word for option in sorted(options) for word in option.split())) == 2
    lines = capsys.readouterr().err.splitlines()
    for name in faulty | dict.fromkeys(options):
        told = other_of_pair.get(name, name)
        assert any(re.search(rf"{told}\b", line.partition(": there")[0]) for line in lines), told
    assert len(lines) == len(faulty) + len(options)


def test_keys_that_cannot_be_used_are_not_told_to_be_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_ID, "half of a pair")
    told = fault(capsys, "--map", f"={IMAGE}", "--host", "192.0.2.1")
    assert f"{SECRET}: set it too" in told


def test_mappings_that_cannot_be_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--map", "a", "--map", "b=", "--map", f"c={IMAGE}", "--map", f"c={IMAGE}") == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in lines] == [" --map a", " --map b=", f" --map c={IMAGE}"]


@pytest.mark.parametrize("value", ["", "9" * 64, "é.example", "nowhere.invalid"])
def test_an_address_that_is_none_is_the_one_fault(
    capsys: pytest.CaptureFixture[str], value: str
) -> None:
    assert f"--host {value}: is not an address" in fault(
        capsys, "--map", f"={IMAGE}", "--host", value
    )


def test_an_image_of_many_mappings_is_opened_once_and_its_fault_is_each_mappings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[str] = []
    original = s3archivefs.open

    def open_(source: str) -> s3archivefs.SquashFS:
        opened.append(source)
        return original(source)

    monkeypatch.setattr(s3archivefs, "open", open_)
    mappings = tmp_path / "mappings"
    lines = [f"a{number}|file://{IMAGE}\nb{number}|file://{__file__}\n" for number in range(50)]
    mappings.write_text("".join(lines))
    monkeypatch.setenv("S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE", str(mappings))
    assert run() == 2
    assert sorted(opened) == sorted([IMAGE, __file__])
    faulty = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert sorted(faulty) == sorted(f"{mappings}:{2 * number}" for number in range(1, 51))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104 -- is refused
def test_other_machines_are_not_served_without_credentials(
    capsys: pytest.CaptureFixture[str], host: str
) -> None:
    told = fault(capsys, "--map", f"={IMAGE}", "--host", host)
    assert f"--host {host}" in told
    assert f"{KEY_ID} and {SECRET}" in told


@pytest.mark.parametrize("name", [KEY_ID, SECRET])
@pytest.mark.parametrize("other", [{}, {KEY_ID: "", SECRET: ""}])
def test_half_of_the_credentials_is_none(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    other: dict[str, str],
) -> None:
    for variable, value in (other | {name: "given"}).items():
        monkeypatch.setenv(variable, value)
    (missing,) = {KEY_ID, SECRET} - {name}
    told = fault(capsys, "--map", f"={IMAGE}")
    assert told.startswith(f"s3archivefs: {missing}: ")
    assert "given" not in told


def test_a_misspelt_setting_does_not_open_the_endpoint(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3ARCHIVEFS_ENDPOINT_SECRET", "x")
    assert "S3ARCHIVEFS_ENDPOINT_SECRET: there is no such" in fault(capsys, "--map", f"={IMAGE}")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--port", "65536", "a number from 0 to 65535"),
        ("--port", "-1", "a number from 0 to 65535"),
        ("--bucket", "a/b", "lower-case letters"),
        ("--bucket", "", "lower-case letters"),
        ("--bucket", "a..b", "no two dots in a row"),
        ("--bucket", "192.168.0.1", "not an IP address"),
        ("--host", "", "is not an address"),
        ("--forwarded-allow-ips", "10.0.0.0/99", "does not appear to be an IPv4 or IPv6 network"),
        ("--forwarded-allow-ips", "10.0.0.1,proxy", "write addresses such as 10.0.0.7"),
        ("--domain", "10.0.0.1", "write a name such as s3.example.com"),
        ("--domain", "http://s3.example.com", "write a name such as s3.example.com"),
        ("--host", "a" * 64, "is not an address"),
        ("--page", "yes", "write on, off or auto"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    capsys: pytest.CaptureFixture[str], option: str, value: str, said: str
) -> None:
    told = fault(capsys, "--map", f"={IMAGE}", f"{option}={value}")
    assert option in told
    assert said in told


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = fault(capsys, "--map", f"={IMAGE}", "--port", str(port))
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in told


@pytest.mark.parametrize(
    ("served", "bodies"),
    [(("--map", f"={IMAGE}"), 0), (("--bucket", "s3://books"), HttpLimits().answers)],
)
def test_each_request_answered_at_once_has_its_connections_to_s3(
    monkeypatch: pytest.MonkeyPatch, served: tuple[str, ...], bodies: int
) -> None:
    made = []

    class RecordedArchives(Archives):
        def __init__(self, config: Config, client_factory: Callable[[], S3Client]) -> None:
            made.append(client_factory)
            super().__init__(config, client_factory)

    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setattr(archives, "Archives", RecordedArchives)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run(*served, "--port", str(taken.getsockname()[1])) == 2
    (client_factory,) = made
    config: Any = client_factory().meta.config
    opening = 2 * (THREADS + OPEN_AHEAD_THREADS)
    assert config.max_pool_connections == opening + AHEAD_THREADS + bodies


@pytest.mark.parametrize(
    ("module", "map_", "extra"),
    [("botocore", "=s3://bucket/key", "lambda")],
)
def test_a_missing_library_is_named_with_its_extra(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    map_: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    told = fault(capsys, "--map", map_)
    assert f"needs {module}: pip install 's3archivefs[{extra}]'" in told


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_PROFILE", "nobody", "profile (nobody)"),
        ("AWS_ENDPOINT_URL", "nowhere", "Invalid endpoint: nowhere"),
    ],
)
def test_settings_for_aws_that_cannot_be_stop_the_start_where_images_are_in_s3(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        local = ["--map", f"docs={IMAGE}", "--port", port]
        assert "cannot listen" in fault(capsys, *local)  # all else is well
        told = fault(capsys, *local, "--map", "src=s3://bucket/key")
    assert told.startswith("s3archivefs: the settings for AWS: ")
    assert said in told


def test_registering_loads_nothing_heavy() -> None:
    program = (
        "import sys; from s3archivefs_lambda.commands.serve import register_serve;"
        "print(*{'asyncio', 'boto3', 'botocore', 'construct'}.intersection(sys.modules))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
