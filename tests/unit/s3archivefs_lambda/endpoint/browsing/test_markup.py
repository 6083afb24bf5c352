"""HTML that nothing but its templates can change."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.endpoint.browsing.markup import Markup, Template, joined, shown

ROW = Template('<p title="{title}">{text}</p>')
TEXTS = st.text(st.characters()) | st.text("<>&\"'`={}/! ap\0\n\u202e")


class Tags(HTMLParser):
    """What a parser finds."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[object] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(TEXTS, TEXTS)
def test_any_text_stays_text(title: str, text: str) -> None:
    found = Tags()
    found.feed(ROW(title=title, text=text))
    found.close()
    assert found.tags == [("p", [("title", title)]), "p"]
    assert found.text == text


def test_markup_is_taken_as_it_is() -> None:
    inner = ROW(title="a", text="<b>")
    assert ROW(title="b", text=inner) == f'<p title="b">{inner}</p>'
    assert joined([Markup("<a>"), Markup("<b>")]) == "<a><b>"


def test_braces_in_values_are_no_names() -> None:
    assert ROW(title="{text}", text="{title.__class__}") == (
        '<p title="{text}">{title.__class__}</p>'
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a b.txt", "a b.txt"),
        ("日本語", "日本語"),
        ("עברית", "עברית"),
        ("new\nline\t\x1b\0", r"new\nline\t\x1b\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("a\u2066b\u200e", r"a\u2066b\u200e"),
        ("\udcff\udc80", r"\xff\x80"),
        ("\U000e0001", r"\U000e0001"),
        ("a\u200db", "a\u200db"),
    ],
)
def test_what_is_not_printable_is_spelt(name: str, told: str) -> None:
    assert shown(name) == told


@given(st.text(st.characters(codec=None)))
def test_a_name_is_shown_on_one_printable_line(name: str) -> None:
    assert shown(name).replace("\u200c", "").replace("\u200d", "").isprintable()
