"""fsspec's own tests of `get`, over an image of the trees that they take to be there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.tests.abstract import AbstractFixtures, AbstractGetTests

from s3archivefs.filesystem import ArchiveFileSystem
from tests.support.images.trees import pack


class Packed(ArchiveFileSystem):
    """A filesystem that takes what the tests make and remove for done."""

    def mkdir(self, *_: Any, **__: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Make nothing."""

    touch = rm = mkdir  # type: ignore[assignment]


def joined(*parts: str) -> str:
    return "/".join(parts)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trees of the tests, each below a directory of its own."""
    directory = tmp_path_factory.mktemp("get")
    local = LocalFileSystem(auto_mkdir=True)
    make = AbstractFixtures()
    tree = str(directory / "tree")
    make._bulk_operations_scenario_0(local, joined, tree + "/bulk")
    make._glob_edge_cases_files(local, joined, tree + "/glob")
    make._dir_and_file_with_same_name_prefix(local, joined, tree + "/prefix")
    make._10_files_with_hashed_names(local, joined, tree + "/hashed")
    local.touch(tree + "/src/file")
    return pack(Path(tree), directory / "tree.sqfs")


class TestGet(AbstractFixtures, AbstractGetTests):  # type: ignore[misc]  # fsspec ships no types
    @pytest.fixture
    def local_fs(self) -> LocalFileSystem:
        return LocalFileSystem(auto_mkdir=True)

    @pytest.fixture
    def fs(self, packed: Path) -> Packed:
        return Packed(str(packed))

    @pytest.fixture
    def fs_path(self) -> str:
        return ""

    @pytest.fixture
    def fs_join(self) -> Any:  # noqa: ANN401 -- fsspec's
        return joined

    @pytest.fixture
    def fs_bulk_operations_scenario_0(self) -> str:
        return "bulk/source"

    @pytest.fixture
    def fs_glob_edge_cases_files(self) -> str:
        return "glob/source"

    @pytest.fixture
    def fs_dir_and_file_with_same_name_prefix(self) -> str:
        return "prefix/source"

    @pytest.fixture
    def fs_10_files_with_hashed_names(self) -> str:
        return "hashed/source"
