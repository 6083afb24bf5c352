from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from s3archivefs import Limits
from s3archivefs_lambda.config.names import ENDPOINT_PREFIX, UPLOAD_PART_BYTES, UPLOAD_STORAGE_CLASS
from s3archivefs_lambda.config.settings import SETTINGS
from s3archivefs_lambda.upload.image_parts import MAX_PART_BYTES, MIN_PART_BYTES

ROOT = Path(__file__).parents[3]
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
REQUEST_PAGE = ROOT / "docs" / "how-a-request-is-answered.md"


def limits_meanings() -> dict[str, str]:
    """What the docstring of each field of `Limits` says first, by the name of its setting."""
    (definition,) = ast.parse(inspect.getsource(Limits)).body
    assert isinstance(definition, ast.ClassDef)
    meanings = {}
    for field, comment in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(field.target, ast.Name)
            assert isinstance(comment, ast.Expr)
            text = inspect.cleandoc(ast.literal_eval(comment.value))
            first = " ".join(text.split()).partition(". ")[0].removesuffix(".")
            meanings[f"S3ARCHIVEFS_LIMIT_{field.target.id.upper()}"] = f"{first}."
    return meanings


def test_page_of_settings_lists_every_setting_as_the_code_has_it() -> None:
    defaults = {setting.name: setting.doc for setting in SETTINGS if setting.default is None}
    meanings = {setting.name: setting.doc for setting in SETTINGS} | limits_meanings() | defaults
    page = SETTINGS_PAGE.read_text(encoding="utf-8")
    rows = []
    for setting in SETTINGS:
        default = "unset" if setting.default is None else f"`{setting.default}`"
        meaning = meanings.pop(setting.name).replace("|", "&#124;")
        rows.append(f"| `{setting.name}` | {meaning} | {default} |")
    assert meanings == {}
    listed = [line for line in page.splitlines() if line.startswith("| `") and line.count("|") > 3]
    listed = [line for line in listed if ENDPOINT_PREFIX not in line.partition(" | ")[0]]
    assert listed == rows


def test_page_of_settings_lists_those_of_upload() -> None:
    page = SETTINGS_PAGE.read_text(encoding="utf-8")
    for name in (UPLOAD_STORAGE_CLASS, UPLOAD_PART_BYTES):
        assert f"\n| `{name}` | " in page
    assert f"from {MIN_PART_BYTES} to {MAX_PART_BYTES}" in page


def test_every_module_in_the_diagram_of_a_request_is_there() -> None:
    diagram = (
        REQUEST_PAGE.read_text(encoding="utf-8").partition("```mermaid\n")[2].partition("```")[0]
    )
    named = re.findall(r'\["([\w/.]+)<br/>', diagram)
    assert len(named) > 8
    packages = [ROOT / "s3archivefs_lambda", ROOT]
    assert [name for name in named if not any((top / name).exists() for top in packages)] == []
