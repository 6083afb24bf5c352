"""Options and variables of `upload`."""

from __future__ import annotations

import pytest

from s3archivefs_lambda.commands.upload_settings import part_bytes, storage_class
from s3archivefs_lambda.config.errors import SettingError

CLASS, CHUNK = "S3ARCHIVEFS_STORAGE_CLASS", "S3ARCHIVEFS_MPU_CHUNK_SIZE"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", ""),
        ("STANDARD", "STANDARD"),
        ("INTELLIGENT_TIERING", "INTELLIGENT_TIERING"),
        ("INT", "INTELLIGENT_TIERING"),
        ("GIR", "GLACIER_IR"),
        ("GLACIER_IR", "GLACIER_IR"),
        ("STANDARD_IA", "STANDARD_IA"),
    ],
)
def test_a_storage_class_may_go_by_the_short_name(written: str, meant: str) -> None:
    assert storage_class("", {CLASS: written}) == meant
    assert storage_class(written, {}) == meant
    assert storage_class(written, {CLASS: "ONEZONE_IA"}) == (meant or "ONEZONE_IA")


def test_options_go_before_variables() -> None:
    assert storage_class("STANDARD", {CLASS: "GIR"}) == "STANDARD"
    assert part_bytes("5242880", {CHUNK: "none such"}) == 5242880


@pytest.mark.parametrize(
    ("written", "meant"),
    [("", None), ("5242880", 5 << 20), ("8388609", 8388609), ("5368709120", 5 << 30)],
)
def test_the_size_of_parts_is_in_bytes(written: str, meant: int | None) -> None:
    assert part_bytes("", {CHUNK: written}) == meant
    assert part_bytes("", {}) is None


@pytest.mark.parametrize(
    "written", ["5242879", "5368709121", "0", "-5242880", "16M", "1e9", " 5242880", "9" * 5000]
)
def test_a_size_that_s3_takes_for_no_part_is_refused(written: str) -> None:
    right = "write a whole number from 5242880 to 5368709120, digits only"
    for option, environ, name in ((written, {}, "--part-size"), ("", {CHUNK: written}, CHUNK)):
        with pytest.raises(SettingError) as caught:
            part_bytes(option, environ)
        assert str(caught.value) == f"{name}={written!r}: {right}"
