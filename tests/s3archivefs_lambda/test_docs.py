from __future__ import annotations

from pathlib import Path

from s3archivefs_lambda.config import SETTINGS

SETTINGS_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_page_of_settings_lists_every_setting_as_the_code_has_it() -> None:
    rows = []
    for setting in SETTINGS:
        default = "unset" if setting.default is None else f"`{setting.default}`"
        meaning = setting.doc.replace("|", "&#124;")
        rows.append(f"| `{setting.name}` | {meaning} | {default} |")
    assert "\n".join(rows) in SETTINGS_PAGE.read_text(encoding="utf-8")
