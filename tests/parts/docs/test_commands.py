"""The commands and programs in the pages, run as they stand there, from top to bottom.

What cannot be run here is checked as far as it goes: see tests/support/documents/page_programs.py.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from tests.support.aws.stacks import load, resolve
from tests.support.documents.page_programs import UNAVAILABLE, sessions
from tests.support.documents.pages import PAGES, ROOT, blocks

if TYPE_CHECKING:
    from tests.parts.docs.conftest import Reader

RUN = {"sh", "python"}
ELSEWHERE = {"docs/data.md", "docs/training.md"}
"""Pages whose libraries have an environment of their own: `nox -s data` runs them."""
_SESSION = re.compile(r"noxfile\.py\s+-s\s+([\w-]+)|nox -s ([\w-]+)")


@pytest.mark.timeout(600)  # one of them installs the project, and builds it for Lambda
@pytest.mark.parametrize(
    "page",
    [
        page
        for page in PAGES
        if page not in ELSEWHERE and any(block.language in RUN for block in blocks(page))
    ],
)
def test_the_commands_of_a_page_work_in_their_order(page: str, reader: Reader) -> None:
    found = blocks(page)
    for block, after in [*pairwise(found), (found[-1], None)]:
        if block.language in RUN:
            written = reader.run(block)
            if after is not None and after.language == "text":
                assert written == after.text, f"{after}: is not what {block} prints"


@pytest.mark.parametrize("page", PAGES)
def test_every_session_that_a_page_names_is_there(page: str) -> None:
    named = {one or other for one, other in _SESSION.findall((ROOT / page).read_text("utf-8"))}
    assert named - sessions(ROOT / "noxfile.py") == set()


def test_what_cannot_be_run_here_is_in_some_page() -> None:
    words = {
        word
        for page in PAGES
        for block in blocks(page)
        if block.language == "sh"
        for word in block.text.split()
    }
    assert set(UNAVAILABLE) - words == set()


@pytest.mark.parametrize("page", PAGES)
def test_the_parameters_that_a_page_gives_a_template_are_its_own(page: str) -> None:
    commands = [
        shlex.split(line)
        for block in blocks(page)
        if block.language == "sh"
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("aws cloudformation deploy")
    ]
    for command in commands:
        template = command[command.index("--template-file") + 1]
        given = command[command.index("--parameter-overrides") + 1 :]
        resolve(load(template), dict(each.split("=", 1) for each in given))
