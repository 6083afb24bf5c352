"""The programs that stand for those of the pages refuse what the real ones would refuse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.documents import page_programs
from tests.support.documents.page_programs import LEFT_OUT, NOWHERE, RAN, SYNTAX_ONLY

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str]]

NOXFILE = """
@nox.session
def lint(session): ...


@nox.session(name="property")
def property_tests(session): ...
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program by its name in `tmp_path`: its status, and what it logged as done."""
    programs = tmp_path / "programs"
    tools = Path(sys.executable).parent
    real = {"aws": tools / "aws", "python3": Path(sys.executable), "pip": tools / "pip"}
    log = page_programs.install(programs, real=real, port=0)
    environ = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "AWS_ENDPOINT_URL": NOWHERE,
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:7",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "HOME": str(tmp_path),
    }

    def run(*command: str) -> tuple[int, str]:
        done = subprocess.run(command, cwd=tmp_path, env=environ, check=False)
        return done.returncode, json.loads(log.read_text().splitlines()[-1])["done"]

    return run


def test_what_goes_to_aws_itself_is_checked_for_its_syntax(run: Run) -> None:
    assert run("aws", "lambda", "get-function", "--function-name", "f") == (0, SYNTAX_ONLY)


def test_what_the_store_does_not_implement_is_checked_for_its_syntax(run: Run) -> None:
    command = ("aws", "s3api", "put-bucket-lifecycle-configuration", "--bucket", "bucket")
    assert run(*command, "--lifecycle-configuration", '{"Rules": []}') == (0, SYNTAX_ONLY)
    status, _ = run(*command, "--lifecycle-configuration", '{"Rule": []}')
    assert status != 0


@pytest.mark.parametrize(
    "command",
    [
        ("lambda", "get-function"),
        ("lambda", "get-function", "--function-name", "f", "--no-such-option", "x"),
        ("lambda", "get-a-function"),
        ("cloudformation", "deploy", "--stack-name", "s"),
        ("cloudformation", "deploy", "--stack-name", "s", "--template-file", "missing.yaml"),
        ("cloudwatch", "put-metric-alarm", "--alarm-name", "a", "--threshold", "much"),
    ],
    ids=" ".join,
)
def test_a_command_that_the_aws_cli_does_not_take_fails(run: Run, command: tuple[str, ...]) -> None:
    status, done = run("aws", *command)
    assert status != 0
    assert done == RAN


def test_a_failure_of_s3_is_one(run: Run) -> None:
    status, done = run("aws", "s3", "ls", "s3://bucket/")
    assert status != 0
    assert done == RAN


def test_sessions_that_are_not_run_are_at_least_there(run: Run, tmp_path: Path) -> None:
    (tmp_path / "noxfile.py").write_text(NOXFILE)
    assert run("python3", "noxfile.py") == (0, LEFT_OUT)
    assert run("python3", "noxfile.py", "-s", "lint", "--", "-x") == (0, LEFT_OUT)
    assert run("python3", "noxfile.py", "-s", "property") == (0, LEFT_OUT)
    assert run("python3", "noxfile.py", "-s", "property_tests") == (1, RAN)


def test_what_needs_more_than_a_machine_is_left_out(run: Run) -> None:
    assert run("docker", "build", ".") == (0, LEFT_OUT)


def test_pip_leaves_out_what_is_installed_and_nothing_else(run: Run) -> None:
    assert run("pip", "install", ".[all]") == (0, LEFT_OUT)
    status, done = run("pip", "install", "./missing[all]")
    assert status != 0
    assert done == RAN


def test_the_status_of_a_program_is_its_own(run: Run) -> None:
    assert run("python3", "-c", "raise SystemExit(7)") == (7, RAN)
