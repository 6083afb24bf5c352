"""Nightly tests use the fixtures of the daily ones."""

from __future__ import annotations

from tests.parts.integration.conftest import store

__all__ = ["store"]
