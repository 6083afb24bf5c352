"""The zips, unpacked as Lambda unpacks them, run by a Python that has boto3 and Lambda's runtime
client, and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.lambda_zip import Build
from tests.support.aws.lambda_zips import files, lambda_python, unpack
from tests.support.aws.object_lambda import AccessPoint, RuntimeApi
from tests.support.images.fixtures import FIXTURES
from tests.support.servers.served import served
from tests.support.servers.transports import BUCKET, upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client

    from tests.support.aws.lambda_zips import LambdaZips
    from tests.support.images.fixtures import Observed
    from tests.support.servers.swift_store import SwiftStore

COMPRESSORS = ("gzip", "lzma", "lzo", "xz", "lz4", "zstd")
CODECS = {"deflate", "lzallright", "lz4", "zstandard"}
"""Those that do not come with Python."""
RUNTIME = {
    *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"),
    *("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3"),
}
"""What the function may take from elsewhere than the zip."""

PROBE = """
import os, sys
from s3archivefs_lambda.handler import lambda_handler

def handler(event, context):
    if event != "modules":
        return lambda_handler(event, context)
    files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
    return {name: os.path.realpath(file) for name, file in files.items() if file}
"""
"""The function, that says as well where its modules come from."""


@pytest.fixture(scope="module")
def settings(store: SwiftStore) -> dict[str, str]:
    """An image of each compressor, mapped to its name."""
    urls = [
        upload(store, FIXTURES[name].image, f"{name}.sqfs", superblock=True) for name in COMPRESSORS
    ]
    return {
        f"S3ARCHIVEFS_PREFIX_VMAP{number}": f"{name}|{url}"
        for number, (name, url) in enumerate(zip(COMPRESSORS, urls, strict=True), 1)
    }


@contextmanager
def deployed(
    store: SwiftStore,
    settings: dict[str, str],
    task_root: Path,
    cache: Path,
    *,
    handler: str = "s3archivefs_lambda.handler.lambda_handler",
    modules: tuple[Path, ...] = (),
) -> Iterator[tuple[S3Client, RuntimeApi]]:
    """The function in `task_root`, and a client of its access point."""
    cache.mkdir()
    with AccessPoint(store.url, bucket=BUCKET) as access_point:
        environ = {
            **store.environ(endpoint_url=access_point.url),
            **settings,
            "S3ARCHIVEFS_CACHE_DIR": str(cache),
        }
        with RuntimeApi(
            environ, handler=handler, task_root=task_root, modules=modules, python=lambda_python()
        ) as function:
            access_point.function = function
            yield store.client(endpoint_url=access_point.url), function


@pytest.fixture(scope="module")
def unpacked(zips: LambdaZips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The function's zip, unpacked."""
    return unpack(zips(Build()).path, tmp_path_factory.mktemp("task"))


@pytest.fixture(scope="module")
def client(
    store: SwiftStore,
    settings: dict[str, str],
    unpacked: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[S3Client]:
    """A client of the function."""
    cache = tmp_path_factory.mktemp("function") / "cache"
    with deployed(store, settings, unpacked, cache) as (client, _):
        yield client


def objects(name: str) -> dict[str, Observed]:
    """The files of a fixture by their paths, those included that symlinks lead to."""
    tree = {one.path: one for one in FIXTURES[name].tree}
    links = {
        path: tree.get(str(Path(path).parent / one.target))
        for path, one in tree.items()
        if one.target
    }
    return {path: one for path, one in (tree | links).items() if one and one.kind == "file"}


def assert_served(client: S3Client, name: str) -> None:
    """Each object that a fixture holds can be had, by each operation."""
    expected = {f"{name}{path}": one for path, one in objects(name).items()}
    assert len(expected) > 4
    listed = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{name}/")["Contents"]
    assert {one["Key"]: one["Size"] for one in listed} == {
        key: one.size for key, one in expected.items()
    }
    for key, one in expected.items():
        assert client.head_object(Bucket=BUCKET, Key=key)["ContentLength"] == one.size
        with client.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
            assert one.holds(body.read()), key


# ---- The function --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPRESSORS)
def test_the_function_serves_images_of_each_compressor(client: S3Client, name: str) -> None:
    assert_served(client, name)


def test_all_but_boto3_and_the_runtime_client_comes_from_the_zip(
    store: SwiftStore, settings: dict[str, str], unpacked: Path, tmp_path: Path
) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    with deployed(
        store,
        settings,
        unpacked,
        tmp_path / "cache",
        handler="probe.handler",
        modules=(tmp_path,),
    ) as (client, function):
        for name in COMPRESSORS:
            client.get_object(Bucket=BUCKET, Key=f"{name}/block.txt")["Body"].close()
        modules = function.invoke("modules")
    found = origins(modules, unpacked)
    assert found["zip"] >= {"s3archivefs", "s3archivefs_lambda", "construct", *CODECS}
    assert found["elsewhere"] <= RUNTIME
    assert "botocore" in found["elsewhere"]


def test_a_zip_with_boto3_uses_its_own(
    store: SwiftStore, settings: dict[str, str], zips: LambdaZips, tmp_path: Path
) -> None:
    task_root = unpack(zips(Build(with_boto3=True)).path, tmp_path / "task")
    (tmp_path / "probe.py").write_text(PROBE)
    with deployed(
        store,
        settings,
        task_root,
        tmp_path / "cache",
        handler="probe.handler",
        modules=(tmp_path,),
    ) as (client, function):
        assert_served(client, "zstd")
        found = origins(function.invoke("modules"), task_root)
    assert found["zip"] >= {"s3archivefs", "botocore", "urllib3"}
    assert not found["elsewhere"] & {"botocore", "urllib3"}


def origins(modules: dict[str, str], task_root: Path) -> dict[str, set[str]]:
    """Which packages come from the zip, and which are installed elsewhere; Python's own aside."""
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    command = [lambda_python(), "-I", "-c", program]
    installed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return {
        place: {
            name.partition(".")[0]
            for name, file in modules.items()
            if Path(file).is_relative_to(Path(directory).resolve()) and not name.startswith("__")
        }
        for place, directory in (("zip", task_root), ("elsewhere", installed))
    }


def test_a_cold_start_compiles_nothing(
    store: SwiftStore, settings: dict[str, str], zips: LambdaZips, tmp_path: Path
) -> None:
    """The folder can be written to, unlike Lambda's: what is compiled would be found there."""
    task_root = unpack(zips(Build()).path, tmp_path / "task")
    before = set(files(task_root))
    with deployed(store, settings, task_root, tmp_path / "cache") as (client, _):
        assert_served(client, "gzip")
    assert set(files(task_root)) == before


# ---- The layer -----------------------------------------------------------------------------------


def test_the_layer_serves_a_function_that_imports_it(
    store: SwiftStore, settings: dict[str, str], zips: LambdaZips, tmp_path: Path
) -> None:
    opt = unpack(zips(Build(kind="layer")).path, tmp_path / "opt")
    task_root = tmp_path / "task"
    task_root.mkdir()
    (task_root / "function.py").write_text(
        "from s3archivefs_lambda.handler import lambda_handler\n"
        "def handler(event, context):\n"
        "    return lambda_handler(event, context)\n"
    )
    with deployed(
        store,
        settings,
        task_root,
        tmp_path / "cache",
        handler="function.handler",
        modules=(opt / "python",),
    ) as (client, _):
        assert_served(client, "lz4")


# ---- The endpoint --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint(
    store: SwiftStore,
    settings: dict[str, str],
    zips: LambdaZips,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The URL of the endpoint that the zip's script starts."""
    directory = tmp_path_factory.mktemp("endpoint")
    task_root = unpack(zips(Build(kind="endpoint")).path, directory / "task")
    environ = {
        **store.environ(),
        **settings,
        "PATH": f"{Path(lambda_python()).parent}{os.pathsep}{os.environ['PATH']}",
        "LAMBDA_TASK_ROOT": str(task_root),
        "LAMBDA_RUNTIME_DIR": str(directory / "runtime"),
        "AWS_LWA_PORT": "0",
        "S3ARCHIVEFS_CACHE_DIR": str(directory),
    }
    command = [str(task_root / "run.sh")]
    with served(environ=environ, log=directory / "log", command=command) as url:
        yield url


@pytest.mark.parametrize("name", COMPRESSORS)
def test_the_endpoint_serves_images_of_each_compressor(
    store: SwiftStore, endpoint: str, name: str
) -> None:
    assert_served(store.client(endpoint_url=endpoint), name)


def test_the_endpoint_serves_the_aws_cli(store: SwiftStore, endpoint: str) -> None:
    command = [sys.executable, "-m", "awscli", "s3", "cp", f"s3://{BUCKET}/xz/block.txt", "-"]
    environ = os.environ | store.environ(endpoint_url=endpoint)
    done = subprocess.run(command, env=environ, capture_output=True, check=True)
    assert objects("xz")["/block.txt"].holds(done.stdout)
