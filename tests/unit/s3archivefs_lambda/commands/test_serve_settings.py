"""The options of `serve` that need no server to be judged."""

from __future__ import annotations

import pytest

from s3archivefs_lambda.commands.serve_settings import page


@pytest.mark.parametrize(
    ("given", "host", "is_on"),
    [
        (None, "127.0.0.1", True),
        (None, "::1", True),
        (None, "0.0.0.0", False),  # noqa: S104 -- nothing listens
        ("auto", "127.0.0.1", True),
        ("auto", "192.0.2.1", False),
        ("on", "0.0.0.0", True),  # noqa: S104 -- likewise
        ("off", "127.0.0.1", False),
    ],
)
def test_browsers_get_the_page_on_loopback_or_where_it_is_asked_for(
    given: str | None,
    host: str,
    is_on: bool,  # noqa: FBT001
) -> None:
    assert (page(given, host, is_tls=False) is not None) is is_on
