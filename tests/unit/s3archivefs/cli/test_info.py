from __future__ import annotations

from typing import TYPE_CHECKING

from s3archivefs.cli import main
from tests.support.images.fixtures import FIXTURES

if TYPE_CHECKING:
    import pytest


def image(name: str) -> str:
    return str(FIXTURES[name].image)


def test_info_names_compressor_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", image("xz")]) == 0
    assert "compression xz, blocks of 4,096 bytes" in capsys.readouterr().out
