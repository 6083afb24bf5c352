"""The `s3archivefs` command: one module a subcommand, and what they share."""

from __future__ import annotations

from s3archivefs.cli.command import main

__all__ = ["main"]
