"""The files of the endpoint's certificate."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from s3archivefs_lambda.commands.endpoint_settings import TLS_CERT, TLS_KEY
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.tls_files import certificate_of
from tests.support.servers.tls import authority, certificate_in, install

if TYPE_CHECKING:
    from pathlib import Path

ENCRYPTED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgyHwcZ6gjnmwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEPjLntEouHjHoT2oXBSoaD4EgZAJ
bQfOoMEDlGP4c7xC1H+8WKyVx0mRyJW1DlM7bJGIHfW7f4j5oEqwu8QOadLLfB9h
3J/RUPGUgKd9d73WRZsk1v+v2vVVh+872dSZkRKbNAWIY9uNudju2XP/j1GpWI2Y
9hUQVx6LnxH4WEzotRBD9QnVf8o1tJyE/Rr4MeIiUk9hJwYkzxMcBdHbhkozFtU=
-----END ENCRYPTED PRIVATE KEY-----
"""


def fault(directory: Path) -> str:
    with pytest.raises(UsageError) as caught:
        certificate_in(directory)
    told = str(caught.value)
    assert "\n" not in told
    assert str(directory) in told
    return told


def test_without_settings_there_is_none() -> None:
    assert certificate_of({}) is None


def test_half_of_a_pair_is_none() -> None:
    with pytest.raises(
        UsageError, match=r"^--tls-key \(S3ARCHIVEFS_ENDPOINT_TLS_KEY\): name it too"
    ):
        certificate_of({TLS_CERT: "a"})
    with pytest.raises(
        UsageError, match=r"^--tls-cert \(S3ARCHIVEFS_ENDPOINT_TLS_CERT\): name it too"
    ):
        certificate_of({TLS_KEY: "a"})


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    _, key = install("one", tmp_path)
    key.chmod(0o640)
    assert f"chmod 600 {key}" in fault(tmp_path)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    certificate, key = install("one", tmp_path)
    certificate.unlink()
    assert f"{certificate}: cannot be read: No such file" in fault(tmp_path)
    key.unlink()
    assert f"{key}: cannot be read: No such file" in fault(tmp_path)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    certificate, _ = install("one", tmp_path)
    shutil.copyfile(authority("two"), certificate)
    assert "KEY_VALUES_MISMATCH" in fault(tmp_path)


def test_a_key_with_a_password_is_refused_without_asking_for_it(tmp_path: Path) -> None:
    _, key = install("one", tmp_path)
    key.write_text(ENCRYPTED)
    assert "cannot be used: " in fault(tmp_path)


def test_what_is_no_pem_file_is_refused(tmp_path: Path) -> None:
    certificate, _ = install("one", tmp_path)
    certificate.write_text("nonsense")
    assert "cannot be used: " in fault(tmp_path)
