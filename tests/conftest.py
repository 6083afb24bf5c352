from __future__ import annotations

import gc
import importlib
import os
import resource
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.aws.lambda_zips import LambdaZips
from tests.support.servers.server_keeper import ServerKeeper, radosgw, swift

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers.radosgw_server import RadosGateway
    from tests.support.servers.swift_store import SwiftStore

# dev: quick feedback. ci: the same examples on every run. nightly: look for new ones (nox -s
# nightly). An example may start mksquashfs, so neither deadline nor health check is about speed.
settings.register_profile(
    "dev",
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "ci", parent=settings.get_profile("dev"), derandomize=True, print_blob=True
)
settings.register_profile(
    "nightly", parent=settings.get_profile("dev"), max_examples=2000, print_blob=True
)
settings.load_profile("dev")  # unless --hypothesis-profile names another, as noxfile.py does


DESCRIPTORS = 8192
"""Those of thousands of connections, at both ends; many systems give a shell 1,024."""


def pytest_configure() -> None:
    """Take descriptors; let an interrupt be one, which shells' background processes ignore."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    """Import the test modules first, in each worker of pytest-xdist from another one on.

    pytest rewrites the assertions of a module, and keeps the bytecode, where it is imported first.
    Workers that go through the modules in step would each do so with every one.
    """
    workerinput = getattr(collector.config, "workerinput", None)
    if workerinput is None or not isinstance(collector, pytest.Session):
        return
    root = collector.config.rootpath
    named = [collector.config.invocation_params.dir / arg for arg in collector.config.args]
    modules = [path for each in named for path in sorted(each.rglob("test_*.py"))]
    worker, workers = int(workerinput["workerid"].removeprefix("gw")), workerinput["workercount"]
    first = len(modules) * worker // workers
    for path in modules[first:] + modules[:first]:
        # What cannot be imported is told where pytest collects it.
        with suppress(Exception):
            importlib.import_module(".".join(path.relative_to(root).with_suffix("").parts))


def pytest_collection_finish() -> None:
    """Leave thousands of collected tests out of all garbage collections from here on."""
    gc.collect()
    gc.freeze()


KEEPER = pytest.StashKey[ServerKeeper]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 -- xdist has no types
    """Tell each worker of pytest-xdist where to ask for servers."""
    stash: pytest.Stash = node.config.stash
    if KEEPER not in stash:
        stash[KEEPER] = ServerKeeper()
        stash[KEEPER].__enter__()
        node.config.add_cleanup(stash[KEEPER].__exit__)
    node.workerinput["server_keeper"] = stash[KEEPER].address


@pytest.fixture(scope="session")
def server_keeper(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of what starts the servers of this run on demand."""
    workerinput = getattr(pytestconfig, "workerinput", None)
    if workerinput is not None:
        yield workerinput["server_keeper"]
        return
    with ServerKeeper() as keeper:
        yield keeper.address


@pytest.fixture(scope="session")
def store(server_keeper: str) -> Iterator[SwiftStore]:
    """OpenStack Swift's s3api."""
    with swift(server_keeper) as store:
        yield store


@pytest.fixture(scope="session")
def gateway(server_keeper: str) -> Iterator[RadosGateway]:
    """Ceph's RADOS gateway."""
    with radosgw(server_keeper) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A directory that all processes of this run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(pytestconfig, "workerinput") else base


@pytest.fixture(scope="session", autouse=True)
def environment_without_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the user's AWS and S3ARCHIVEFS_ settings: tests reach loopback only, with their own."""
    nothing: Path = tmp_path_factory.mktemp("aws") / "nothing"
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("AWS_", "S3ARCHIVEFS_")):
                patch.delenv(name)
        patch.setenv("AWS_CONFIG_FILE", str(nothing))
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nothing))
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield


@pytest.fixture(scope="session")
def zips(run_directory: Path) -> LambdaZips:
    """What is built for Lambda, each once."""
    return LambdaZips(run_directory)
