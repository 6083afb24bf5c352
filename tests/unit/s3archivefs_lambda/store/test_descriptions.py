"""botocore's description of S3: found as botocore finds it, and read once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botocore.loaders import JSONFileLoader
from botocore.session import Session

from s3archivefs_lambda.store.descriptions import share_descriptions

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_sessions_share_what_one_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Session(), Session()
    share_descriptions(first)
    share_descriptions(second)
    model = first.get_service_model("s3")
    assert model.operation_model("GetObject").name == "GetObject"
    monkeypatch.setattr(JSONFileLoader, "load_file", None)
    assert second.get_service_model("s3").service_name == "s3"


def test_descriptions_of_the_users_own_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_DATA_PATH", str(tmp_path))
    plain, session = Session(), Session()
    share_descriptions(session)
    paths = session.get_component("data_loader").search_paths
    assert paths == plain.get_component("data_loader").search_paths
    assert paths[0] == str(tmp_path)
