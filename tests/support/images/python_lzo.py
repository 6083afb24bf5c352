"""The mark of tests that need python-lzo: it has no wheels, so `pip install` may fail to build it.

The session `unit` installs it, and fails where it cannot: only a lone pytest skips these tests.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

__all__ = ["needs_python_lzo"]

needs_python_lzo = pytest.mark.skipif(
    find_spec("lzo") is None, reason="python-lzo is missing; `nox -s unit` installs it"
)
