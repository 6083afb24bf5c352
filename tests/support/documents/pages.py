"""The project's pages as readers get them: their code blocks, headings and links."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
PAGES = tuple(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "deploy/**/*.md")
    for path in sorted(ROOT.glob(pattern))
)

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>.*)")
_HEADING = re.compile(r"#+ +(?P<title>.+)")
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block: the line of its first fence, its language, and its text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: str) -> list[Block]:
    """The fenced code blocks of a page, in order."""
    return [part for part in _parts(page) if isinstance(part, Block)]


def prose(page: str) -> list[tuple[int, str]]:
    """The other lines of a page, each with its number."""
    return [part for part in _parts(page) if not isinstance(part, Block)]


def anchors(page: str) -> set[str]:
    """What a link can name after the `#`: the headings, as code hosting sites spell them."""
    titles = (match["title"] for _, line in prose(page) if (match := _HEADING.fullmatch(line)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(page: str) -> list[tuple[int, str]]:
    """The targets of a page's links, each with its line's number."""
    return [
        (number, match["target"]) for number, line in prose(page) for match in _LINK.finditer(line)
    ]


def _parts(page: str) -> Iterator[Block | tuple[int, str]]:
    lines = iter(enumerate((ROOT / page).read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None:
            yield number, line
            continue
        text = []
        for _, inside in lines:
            if inside.strip() == "```":
                break
            text.append(inside + "\n")
        else:
            raise ValueError(f"{page}:{number}: the code block does not end")
        yield Block(page, number, fence["language"], dedent("".join(text)))
