"""The error of a setting, and how its message quotes a value."""

from __future__ import annotations

__all__ = ["SettingError", "shown"]

_MAX_SHOWN = 200  # characters of a faulty value that a message repeats


class SettingError(ValueError):
    """A setting that cannot be used.

    The message names the variable (or file and line, or option), the value, and what would be
    right; one line for each fault when there are several.
    """


def shown(value: str) -> str:
    """Quote `value` on one line, cut short, without a query.

    The query of a pre-signed URL holds a secret.
    """
    head, question_mark, _ = value.partition("?")
    text = head + "?..." if question_mark else head
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "...")
