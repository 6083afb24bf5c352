"""The image at an s3:// URL, as the command opens it."""

from __future__ import annotations

import pytest

from s3archivefs.cli import main


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "none-such"), ("AWS_SECRET_ACCESS_KEY", "")]
)
def test_settings_for_aws_that_cannot_be_used_are_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv(name, value)
    assert main(["ls", "s3://bucket/key"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("s3archivefs: s3://bucket/key: the settings for AWS: ")
    assert (value or name) in said
    assert said.count("\n") == 1
