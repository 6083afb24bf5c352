"""The site shows every page once, and every public name of both packages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import s3archivefs
from s3archivefs import dataset, filesystem
from tests.support.documents.pages import PAGES

ROOT = Path(__file__).parents[3]
SITE = ROOT / "docs" / "site"
HANDLER = "s3archivefs_lambda.handler"


def documented(page: str) -> list[str]:
    """The names that a page of the site documents, in its order."""
    directive = r"^\.\. (?:auto\w+|py:function):: ([\w.]+)"
    return re.findall(directive, (SITE / page).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_site_shows_every_page_once() -> None:
    lines = (SITE / "index.rst").read_text(encoding="utf-8").splitlines()
    shown = [
        found[1] for line in lines if (found := re.fullmatch(r"   (?:.*<)?/([\w/-]+)>?", line))
    ]
    pages = [page.removesuffix(".md") for page in PAGES]
    assert sorted(shown) == sorted([*pages, "docs/site/adapter", "docs/site/reader"])


def test_the_navigation_has_four_parts() -> None:
    text = (SITE / "index.rst").read_text(encoding="utf-8")
    parts = re.findall(r":caption: (.+)", text)
    assert parts == ["Tutorial", "How-to guides", "Reference", "Explanation"]


def test_the_site_documents_every_public_name_of_the_reader() -> None:
    public = [f"s3archivefs.{name}" for name in s3archivefs.__all__]
    for room in (dataset, filesystem):
        public += [f"{room.__name__}.{name}" for name in room.__all__]
    assert sorted(documented("reader.rst")) == sorted(public)


def test_the_site_documents_every_public_name_of_the_adapter() -> None:
    """Of its source: to import it starts the function."""
    tree = ast.parse((ROOT / f"{HANDLER.replace('.', '/')}.py").read_text(encoding="utf-8"))
    [names] = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    assert names == ["lambda_handler"]
    assert documented("adapter.rst") == [f"{HANDLER}.{name}" for name in names]
    template = (ROOT / "deploy" / "template.yaml").read_text(encoding="utf-8")
    assert f"Handler: {HANDLER}.lambda_handler\n" in template


ROWS = {
    "s3archivefs": "s3archivefs",
    "plain objects, as s3fs and mountpoint-s3 read": "plain objects",
    "zip, by remotezip": "remotezip",
    "download, then read, as with tar": "download, then read",
    "rclone, archive backend": "rclone",
    "ratarmount, on s3fs": "ratarmount",
}
COLUMNS = {
    "a 2 KB file, cold": "2 KB file, cold",
    "200 files": "200 files",
    "list 5,000": "list 5,000",
    "the large file": "200 MB",
}


def table(text: str) -> dict[str, dict[str, str]]:
    """The first table of a text: by row and column, its cells."""
    lines = [line for line in text[text.index("\n| | ") :].splitlines() if line]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    head, _, *rest = rows[: next(at for at, row in enumerate(rows) if not row)]
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rest}


def test_the_readme_has_the_figures_that_were_measured() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    shown = table(readme[readme.index("## Beside") :])
    measured = table(page[page.index("## Remote reading") :])
    wanted = {}
    for row, of in ROWS.items():
        cells = {column: measured[of][at] for column, at in COLUMNS.items()}
        wanted[row] = {column: " / ".join(cell.split(" / ")[:2]) for column, cell in cells.items()}
    assert shown == wanted
