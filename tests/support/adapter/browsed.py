"""The endpoint as a browser sees it, without a server: over an image of any names."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from html.parser import HTMLParser
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.browsing.page import BrowsedOperations
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from tests.support.adapter.asked_application import Answer, Headers, answer_of
from tests.support.adapter.local_archives import operations_on
from tests.support.images.built import Node, build, directory, file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from s3archivefs_lambda.endpoint.authentication import Verifier
    from s3archivefs_lambda.endpoint.messages import HttpApplication

ACCEPT = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
"""What browsers send."""
HOST = "localhost:9000"
Tree: TypeAlias = "dict[bytes, Tree | bytes]"


def packed(files: Mapping[bytes, bytes], image: Path) -> Path:
    """An image of these files; names are between slashes."""
    top: Tree = {}
    for path, content in files.items():
        *above, name = path.split(b"/")
        here = top
        for part in above:
            inner = here.setdefault(part, {})
            assert isinstance(inner, dict)
            here = inner
        here[name] = content
    image.write_bytes(bytes(build(_node(top))))
    return image


def _node(tree: Tree) -> Node:
    return directory(
        {
            name: _node(node) if isinstance(node, dict) else file(node)
            for name, node in sorted(tree.items())
        }
    )


def browsed(
    mappings: Mapping[str, Path], *, verifier: Verifier | None = None, scheme: str = "http"
) -> HttpApplication:
    """An endpoint with the page, whose bucket `archive` has these images at these prefixes."""
    served = {"archive": ServedBucket(operations_on(mappings))}
    return make_app(served, verifier=verifier, page=partial(BrowsedOperations, scheme=scheme))


def browse(
    app: HttpApplication, target: str, *, host: str = HOST, accept: str = ACCEPT, more: Headers = ()
) -> Answer:
    """What a browser gets."""
    return answer_of(app, target, headers=(("host", host), ("accept", accept), *more))


class Row(NamedTuple):
    """A row of the table of entries."""

    name: str
    href: str | None
    size: str
    download: str | None


@dataclass
class Seen:
    """What is in an HTML document."""

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    """Text, and the innermost tag that it stands in."""
    rows: list[Row] = field(default_factory=list)

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of each element with this tag."""
        return [attributes for found, attributes in self.tags if found == tag]

    def text(self, tag: str) -> list[str]:
        """What stands in elements with this tag."""
        return [text for found, text in self.texts if found == tag]

    @property
    def links(self) -> list[str]:
        """The address of each link."""
        return [attributes["href"] for attributes in self.all("a")]

    @property
    def main(self) -> str:
        """All text but style and script."""
        return " ".join(text for tag, text in self.texts if tag not in {"style", "script"})


def seen(answer: Answer) -> Seen:
    """What a parser of HTML finds."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.body))
    parser = _Parser()
    parser.feed(answer.body.decode())
    parser.close()
    return parser.seen


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen = Seen()
        self._open: list[str] = []
        self._row: list[str] | None = None
        self._links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), attrs
        self.seen.tags.append((tag, attributes))
        if tag not in {"meta", "link", "input", "img"}:
            self._open.append(tag)
        if tag == "tr" and "data-size" in attributes:
            self._row, self._links = [], []
        if tag in {"th", "td"} and self._row is not None:
            self._row.append("")
        if tag == "a":
            self._links.append(attributes["href"])

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "tr" and self._row is not None:
            name, size, _, download = self._row
            href = self._links[0] if self._links else None
            saved = self._links[-1] if download else None
            self.seen.rows.append(Row(name, href, size, saved))
            self._row = None

    def handle_data(self, data: str) -> None:
        if self._row:
            self._row[-1] += data
        if data.strip():
            self.seen.texts.append((self._open[-1] if self._open else "", data))
