"""What holds for every page: blocks that say what they are, links that lead somewhere."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from tests.support.documents.pages import PAGES, ROOT, anchors, blocks, links, prose

LANGUAGES = {
    "sh",  # commands: test_commands.py runs them
    "python",  # programs: likewise
    "json",
    "mermaid",  # diagrams, which code hosting sites draw
    "text",  # output, and languages of consoles
}


@pytest.mark.parametrize("page", PAGES)
def test_every_code_block_says_what_it_is(page: str) -> None:
    assert [str(block) for block in blocks(page) if block.language not in LANGUAGES] == []
    indented = [
        f"{page}:{number}"
        for number, line in prose(page)
        if line.startswith("    ") and not line.strip().startswith(("-", "|"))
    ]
    assert indented == [], "no test looks at an indented block: fence it"


@pytest.mark.parametrize("page", PAGES)
def test_json_is_json(page: str) -> None:
    for block in blocks(page):
        if block.language == "json":
            assert json.loads(block.text), block


def installed_extras(text: str) -> set[str]:
    """The extras that commands install from a checkout, and those that they stand for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {
        name
        for command in re.findall(r"pip install '\.\[([\w,-]+)\]'", text)
        for name in command.split(",")
    }
    for name in [*extras]:
        for extra in project["optional-dependencies"][name]:
            extras |= {*extra.partition("[")[2].partition("]")[0].split(",")} - {""}
    return extras


@pytest.mark.parametrize("page", PAGES)
def test_a_page_installs_what_its_upload_needs(page: str) -> None:
    text = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    if "pip install '." in text and re.search(r"^s3archivefs upload ", text, re.MULTILINE):
        # It packs with zstd, and verifies what it packed.
        assert installed_extras(text) >= {"lambda", "zstd"}


@pytest.mark.parametrize("page", PAGES)
def test_links_within_the_project_lead_somewhere(page: str) -> None:
    broken = []
    for number, target in links(page):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        there = (ROOT / page).parent.joinpath(path).resolve() if path else ROOT / page
        found = there.exists() and there.is_relative_to(ROOT)
        if found and anchor and there.suffix == ".md":
            found = anchor in anchors(there.relative_to(ROOT).as_posix())
        if not found:
            broken.append(f"{page}:{number}: {target}")
    assert broken == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = {(ROOT / page).parent / target.partition("#")[0] for _, target in links(page)}
        inside = {path.resolve() for path in targets if path.suffix == ".md" and path.exists()}
        waiting += [path.relative_to(ROOT).as_posix() for path in inside]
    assert set(PAGES) - reached == set()
