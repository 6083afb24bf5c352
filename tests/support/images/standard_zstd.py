"""`compression.zstd` of Python 3.14, on older ones too: there backports.zstd, the same code.

use_standard_zstd(monkeypatch)  # from here on, zstandard is not installed
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import pytest

__all__ = ["standard_zstd", "use_standard_zstd"]

_HOME = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


def standard_zstd() -> ModuleType:
    """The standard library's module, or what it was made of."""
    return import_module(_HOME)


def use_standard_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide zstandard, and let `compression.zstd` be there whatever Python runs."""
    monkeypatch.setitem(sys.modules, "compression.zstd", standard_zstd())
    monkeypatch.setitem(sys.modules, "zstandard", None)
