"""The settings that only the endpoint has."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from s3archivefs_lambda.commands.endpoint_settings import (
    ENDPOINT_SETTINGS,
    KEYS_FILE,
    EndpointSetting,
    add_options,
    check_variables,
    given_settings,
)
from s3archivefs_lambda.commands.errors import UsageError

PAGE = Path(__file__).parents[4] / "docs" / "settings.md"


def given(*arguments: str, **environ: str) -> dict[EndpointSetting, str]:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return given_settings(parser.parse_args(arguments), environ)


def test_an_option_comes_before_its_variable() -> None:
    assert given() == {}
    assert given(S3ARCHIVEFS_ENDPOINT_KEYS_FILE="a") == {KEYS_FILE: "a"}
    assert given(S3ARCHIVEFS_ENDPOINT_KEYS_FILE="") == {}
    assert given("--keys-file", "b", S3ARCHIVEFS_ENDPOINT_KEYS_FILE="a") == {KEYS_FILE: "b"}


def test_a_variable_of_an_unknown_name_is_refused_without_its_value() -> None:
    check_variables({"S3ARCHIVEFS_ENDPOINT_KEYS_FILE": "value", "S3ARCHIVEFS_OTHER": "value"})
    with pytest.raises(UsageError, match=r"^S3ARCHIVEFS_ENDPOINT_KEY_FILE: there is no") as told:
        check_variables({"S3ARCHIVEFS_ENDPOINT_KEY_FILE": "value"})
    assert "S3ARCHIVEFS_ENDPOINT_KEYS_FILE" in str(told.value)
    assert "value" not in str(told.value)


@pytest.mark.parametrize("setting", ENDPOINT_SETTINGS, ids=lambda setting: setting.option)
def test_the_page_of_settings_repeats_the_table(setting: EndpointSetting) -> None:
    row = f"| `{setting.variable}` | `--{setting.option}` | {setting.doc} |"
    assert row in PAGE.read_text(encoding="utf-8")
