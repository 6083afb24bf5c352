"""What the installed programs run. All else is imported when they do, so that Ctrl-C ends that.

A module beside the packages: to import one within them, Python imports the whole reader first.
"""

from __future__ import annotations

__all__ = ["main", "mount_helper"]

INTERRUPTED = 130
"""The exit code after Ctrl-C, as `s3archivefs.cli.exit_codes` has it too."""


def main() -> int:
    """Run `s3archivefs` and return its exit code."""
    try:
        from s3archivefs.cli.program import main as run  # noqa: PLC0415 -- see above

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED


def mount_helper() -> int:
    """Run `mount.s3archivefs` and return its exit code."""
    try:
        from s3archivefs.cli.mount_helper import main as run  # noqa: PLC0415 -- likewise

        return run()
    except KeyboardInterrupt:
        return INTERRUPTED
