"""The benchmark of data people's libraries: what it counts, and what it says of goals."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.data.report import goal_lines, rate, table_lines
from benchmarks.data.story import Column, Contender, Cost, Figures, Goal, Made, Story
from tests.support.laws.import_graph import ROOT

OURS, PEER, BROKEN = (Contender(name=name, work="") for name in ("ours", "peer", "broken"))
AHEAD = Goal(
    text="ahead",
    figure=lambda figures: figures.rate("ours", "read") / figures.rate("peer", "read"),
    bound=2,
)
STORY = Story(
    title="",
    measures="",
    make=lambda *_: Made("", {}, {}),
    contenders=(OURS, PEER, BROKEN),
    columns=(Column("files", "read", rate),),
    goals=(AHEAD,),
)


def cost(wall: float) -> Cost:
    return Cost(wall, processor=wall, memory=0, requests=0, bytes=0, answer={"items": 12})


@pytest.fixture
def figures() -> Figures:
    found = Figures()
    for wall in (1, 2, 6):
        found.add("ours", "read", cost(wall))
    found.add("peer", "read", cost(6))
    found.failures["broken"] = "no such module"
    return found


def test_rates_are_medians_and_who_fails_says_why(figures: Figures) -> None:
    _, _, *rows, _, reason = table_lines(STORY, figures, STORY.contenders)
    assert rows == ["| ours | 6/s |", "| peer | 2/s |", "| broken | - |"]
    assert reason == "- broken: no such module"


def test_verdicts(figures: Figures) -> None:
    def verdict(bound: float, *, at_least: bool = True, is_quick: bool = False) -> str:
        goal = Goal(text="", figure=AHEAD.figure, bound=bound, at_least=at_least)
        return goal.verdict(figures, is_quick=is_quick)[1]

    assert [*goal_lines([AHEAD], figures, is_quick=False)][-1] == "| ahead | 3.00 x | met |"
    assert verdict(4) == "**missed**"
    assert verdict(4, at_least=False) == "met"
    assert verdict(4, is_quick=True) == "not judged"
    assert AHEAD.verdict(Figures(), is_quick=False) == ("-", "not measured")


def test_a_process_tells_of_each_step() -> None:
    task = {"work": "work:work", "bucket": "b", "directory": "d", "parameters": {"items": 3}}
    program = (
        "import runpy, sys, types; module = types.ModuleType('work')\n"
        "def work(task, clock):\n"
        "    with clock.step('read') as answer:\n"
        "        answer['items'] = task.parameters['items']\n"
        "        answer['end'] = 1e12\n"
        "module.work = work; sys.modules['work'] = module\n"
        "runpy.run_module('benchmarks.data.process', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    (step,) = json.loads(done.stdout)
    assert (step["name"], step["answer"], step["end"]) == ("read", {"items": 3}, 1e12)
    assert step["memory"] > 1_000_000
    assert step["processor"] >= 0
