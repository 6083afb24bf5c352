"""The Containerfiles, without a container engine: their steps are carried out in a folder that
stands for the image's root, by the Pythons that are here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from tests.support.aws.lambda_runtime import RuntimeApi
from tests.support.aws.lambda_zips import lambda_python, offline
from tests.support.aws.object_lambda_events import CallerRequest, Operation, event_for
from tests.support.images.fixtures import FIXTURES
from tests.support.servers.served import served

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CONTAINER = ROOT / "deploy" / "container" / "Containerfile"
LAMBDA = ROOT / "deploy" / "lambda-image" / "Containerfile"
MAPPING = {"S3ARCHIVEFS_PREFIX_VMAP1": f"docs|{FIXTURES['zstd'].image.as_uri()}"}
KEYS = {
    "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": "EXAMPLEACCESSKEY",
    "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": "example-secret",
}


@dataclass(frozen=True, slots=True)
class Image:
    """What became of a Containerfile."""

    root: Path
    environ: dict[str, str]
    """As its last stage sets it, with paths below `root`."""
    instructions: dict[str, str]
    """The last of each kind."""

    def command(self, kind: str) -> list[str]:
        """The program and arguments of an instruction in its exec form."""
        words: list[str] = json.loads(self.instructions[kind].removeprefix("CMD "))
        return words


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """Each instruction's keyword and its arguments."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line:
            keyword, _, arguments = line.partition(" ")
            yield keyword, re.sub(r"--(interval|timeout|start-period)=\S+ +", "", arguments)


def make(path: Path, directory: Path) -> Image:
    """Carry out its steps, each stage in a folder, but for those that need another user."""
    found = dict(steps := list(instructions(path)))
    root, environ = directory, dict[str, str]()
    for keyword, arguments in steps:
        words = shlex.split(arguments.replace("${LAMBDA_TASK_ROOT}", "/var/task"))
        if keyword == "FROM":
            root, environ = directory / ("build" if words[1:] == ["AS", "build"] else "last"), {}
        elif keyword == "COPY":
            here = words[0] != "--from=build"
            *sources, target = words if here else words[1:]
            for source in sources:
                copy(ROOT / source if here else below(directory / "build", source), root, target)
        elif keyword == "RUN" and words[0] == "pip":
            # What builds the project is here already.
            rest = [below(root, word) if word.startswith("/") else word for word in words[2:]]
            pip = (sys.executable, "-m", "pip", "install", "--no-build-isolation", "--quiet")
            subprocess.run([*pip, *rest], check=True)
        elif keyword == "ENV":
            for name, _, value in (word.partition("=") for word in words):
                inside = str(below(root, value)) if value.startswith("/") else value
                environ[name] = inside.replace("$PATH", os.environ["PATH"])
    return Image(root, environ, found)


def copy(source: Path, root: Path, target: str) -> None:
    """As COPY does: the content of a folder, or a file into one."""
    place = below(root, target)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)


def below(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


@pytest.fixture(scope="module", autouse=True)
def wheels_alone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        offline(patch)
        yield


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return make(CONTAINER, tmp_path_factory.mktemp("container"))


def test_the_container_serves_signed_requests(container: Image, tmp_path: Path) -> None:
    program, *arguments = container.command("ENTRYPOINT")
    script = container.root / "opt" / "s3archivefs" / "bin" / program
    cache = Path(container.environ["S3ARCHIVEFS_CACHE_DIR"])
    cache.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    metrics = {
        "S3ARCHIVEFS_ENDPOINT_METRICS_HOST": "127.0.0.1",
        "S3ARCHIVEFS_ENDPOINT_METRICS_PORT": port,
    }
    with served(
        # The last of each goes: no other machine is served by a test.
        *("--port", "0", "--host", "127.0.0.1"),
        command=[lambda_python(), str(script), *arguments],
        environ={**container.environ, **KEYS, **MAPPING, **metrics},
        log=tmp_path / "log",
    ) as url:
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY"],
            config=Config(s3={"addressing_style": "path"}),
        )
        with client.get_object(Bucket="archive", Key="docs/block.txt")["Body"] as body:
            (expected,) = (one for one in FIXTURES["zstd"].tree if one.path == "/block.txt")
            assert expected.holds(body.read())
        client.close()
        assert healthy(container, port)
        log = (tmp_path / "log").read_text().splitlines()
        assert [json.loads(line)["operation"] for line in log] == ["GetObject"]
    assert not healthy(container, port)


def healthy(container: Image, port: str) -> bool:
    """What the image's own check says of the endpoint, with its metrics on that port."""
    program, *arguments = container.command("HEALTHCHECK")
    assert program == "python"
    command = [sys.executable, *(word.replace(":9100", f":{port}") for word in arguments)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_the_container_runs_as_a_user_who_owns_its_cache_and_nothing_else(
    container: Image,
) -> None:
    user, group = container.instructions["USER"].split(":")
    assert int(user) > 0  # a name would not show Kubernetes that it is not root's
    cache = container.instructions["VOLUME"]
    assert container.instructions["RUN"] == f"install -d -o {user} -g {group} -m 700 {cache}"
    assert container.environ["S3ARCHIVEFS_CACHE_DIR"] == str(container.root) + cache


def test_the_container_serves_other_machines_on_the_port_that_it_declares(
    container: Image,
) -> None:
    port, metrics_port = container.instructions["EXPOSE"].split()
    assert container.environ["S3ARCHIVEFS_ENDPOINT_METRICS_PORT"] == metrics_port
    assert container.command("ENTRYPOINT")[1:] == ["serve", "--host", "0.0.0.0", "--port", port]  # noqa: S104 -- that is what it is for


def test_the_lambda_image_runs_the_function(tmp_path: Path) -> None:
    image = make(LAMBDA, tmp_path)
    (handler,) = image.command("CMD")
    request = CallerRequest(Operation.HEAD_OBJECT, "docs/block.txt", "", ())
    with RuntimeApi(
        {"AWS_REGION": "us-east-1", "S3ARCHIVEFS_CACHE_DIR": str(tmp_path), **MAPPING},
        handler=handler,
        task_root=image.root / "var" / "task",
        modules=(),
        python=lambda_python(),
    ) as function:
        answer = function.invoke(event_for(request, route="route", token="token", payload=""))
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Length"] == 4096
