"""The workflows agree with what else says which Pythons, sessions and tools there are."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.documents.page_programs import sessions

ROOT = Path(__file__).resolve().parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def test_each_python_of_the_classifiers_is_tested() -> None:
    tests = load(ROOT / ".github" / "workflows" / "tests.yml")
    pythons = tests["jobs"]["tests"]["strategy"]["matrix"]["python"]
    names = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"]]
    assert pythons == [name for name in names if re.fullmatch(r"3\.\d+", name)]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_sessions_that_there_are(path: Path) -> None:
    named = set()
    for job in load(path)["jobs"].values():
        named |= {*job.get("strategy", {}).get("matrix", {}).get("session", [])}
        for step in job["steps"]:
            for words in re.findall(r"noxfile\.py -s ([\w ]+)", step.get("run", "")):
                named |= {*words.split()}
    assert named - sessions(ROOT / "noxfile.py") == set()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_nothing_that_a_job_does_not_ask_for(path: Path) -> None:
    workflow = load(path)
    assert workflow["permissions"] == {}
    assert all(job["permissions"] for job in workflow["jobs"].values())


def test_pre_commit_has_the_ruff_of_lint() -> None:
    [ruff] = [each for each in PROJECT["dependency-groups"]["lint"] if "ruff" in each]
    hooks = load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    wanted = {name for hook in hooks for name in hook.get("additional_dependencies", [])}
    assert wanted == {ruff}
