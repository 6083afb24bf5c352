"""The zips for Lambda: what is in them, and what is said where there can be none."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import pytest

from deploy.lambda_zip import ARCHITECTURES, PYTHONS, Build, build, interpreter, main
from tests.support.aws.lambda_zips import offline

if TYPE_CHECKING:
    from deploy.lambda_zip import Built
    from tests.support.aws.lambda_zips import LambdaZips

FUNCTION = Build()
LAYER = Build(kind="layer")
ENDPOINT = Build(kind="endpoint")
WITH_BOTO3 = Build(with_boto3=True)
every_kind = pytest.mark.parametrize(
    "wanted",
    [FUNCTION, LAYER, ENDPOINT, WITH_BOTO3],
    ids=["function", "layer", "endpoint", "with boto3"],
)

PACKAGES = {"s3archivefs", "construct", "deflate", "lz4", "lzallright", "zstandard"}
MOST_BYTES = 10_000_000
_UNCHECKED_HASH = 0b01
"""Flags of bytecode that is held against no source (PEP 552)."""


def packages(built: Built) -> set[str]:
    return {part.package.partition(" ")[0] for part in built.parts}


def entries(built: Built) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(built.path) as archive:
        return {entry.filename: entry for entry in archive.infolist()}


# ---- What is in them -----------------------------------------------------------------------------


def test_the_function_has_its_codecs_and_leaves_boto3_to_the_runtime(zips: LambdaZips) -> None:
    assert packages(zips(FUNCTION)) == PACKAGES


def test_boto3_comes_along_where_it_is_asked_for(zips: LambdaZips) -> None:
    added = packages(zips(WITH_BOTO3)) - PACKAGES
    assert {"boto3", "botocore", "s3transfer", "urllib3"} <= added


def test_of_the_services_that_boto3_knows_only_those_in_use_come_along(zips: LambdaZips) -> None:
    services = {
        path.parts[2]
        for name in entries(zips(WITH_BOTO3))
        if (path := PurePosixPath(name)).match("boto*/data/*/*/*.json*")
    }
    assert services == {"s3", "sts"}


def test_the_endpoint_has_what_starts_it(zips: LambdaZips) -> None:
    assert packages(zips(ENDPOINT)) == PACKAGES | {"prometheus_client", "run.sh"}
    assert "run.sh" not in entries(zips(FUNCTION))


def test_the_endpoint_has_the_files_of_its_page(zips: LambdaZips) -> None:
    room = PurePosixPath("s3archivefs_lambda/endpoint/browsing")
    assert {str(room / name) for name in ("page.css", "page.js", "session.js")} <= {
        *entries(zips(ENDPOINT))
    }


def test_the_layer_has_the_functions_files_under_python(zips: LambdaZips) -> None:
    assert list(entries(zips(LAYER))) == [f"python/{name}" for name in entries(zips(FUNCTION))]


@every_kind
def test_a_zip_is_far_below_lambdas_limits(zips: LambdaZips, wanted: Build) -> None:
    built = zips(wanted)
    assert built.path.stat().st_size < MOST_BYTES
    assert sum(part.unzipped for part in built.parts) < 250 * 10**6


@every_kind
def test_each_package_brings_its_licence_and_its_version(zips: LambdaZips, wanted: Build) -> None:
    names = [PurePosixPath(name) for name in entries(zips(wanted))]
    for package in packages(zips(wanted)) - {"run.sh"}:
        pattern = re.escape(package).replace(r"\-", "[-_]").replace(r"\.", "[._]")
        info = [
            name
            for name in names
            if any(re.fullmatch(rf"{pattern}-[0-9].*\.dist-info", part) for part in name.parts)
        ]
        assert any(re.match("LICEN[CS]E", name.name) for name in info), package
        assert any(name.name == "METADATA" for name in info), package


@every_kind
def test_nothing_names_the_machine_that_built_it(zips: LambdaZips, wanted: Build) -> None:
    built = zips(wanted)
    with zipfile.ZipFile(built.path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            for place in (Path.cwd(), Path(tempfile.gettempdir(), "tmp")):
                assert os.fsencode(place) not in content, name
            assert not re.search(r"/bin/|(^|/)(RECORD|INSTALLER|direct_url\.json)$", name)


@every_kind
def test_files_are_readable_to_all_and_only_the_script_is_executable(
    zips: LambdaZips, wanted: Build
) -> None:
    modes = {name: entry.external_attr >> 16 for name, entry in entries(zips(wanted)).items()}
    if wanted is ENDPOINT:
        assert modes.pop("run.sh") == stat.S_IFREG | 0o755
    assert set(modes.values()) == {stat.S_IFREG | 0o644}


def test_every_module_has_bytecode_that_is_taken_without_a_look_at_its_source(
    zips: LambdaZips,
) -> None:
    built = zips(FUNCTION)
    with zipfile.ZipFile(built.path) as archive:
        names = set(archive.namelist())
        modules = [name for name in names if name.endswith(".py")]
        assert len(modules) > 50
        for name in modules:
            compiled = archive.read(importlib.util.cache_from_source(name))
            assert compiled[:4] == importlib.util.MAGIC_NUMBER
            assert int.from_bytes(compiled[4:8], "little") == _UNCHECKED_HASH, name
        assert sum(name.endswith(".pyc") for name in names) == len(modules)


def test_bytecode_shows_in_tracebacks_where_lambda_has_the_files(zips: LambdaZips) -> None:
    name = importlib.util.cache_from_source("s3archivefs_lambda/handler.py")
    for wanted, place in ((FUNCTION, "/var/task/"), (LAYER, "/opt/python/")):
        with zipfile.ZipFile(zips(wanted).path) as archive:
            compiled = archive.read(("python/" if wanted is LAYER else "") + name)
        assert f"{place}s3archivefs_lambda/handler.py".encode() in compiled


def test_the_same_sources_give_the_same_bytes(
    zips: LambdaZips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch)
    monkeypatch.setenv("PYTHONHASHSEED", "1")
    again = build(ENDPOINT, tmp_path / "again")
    assert again.path.read_bytes() == zips(ENDPOINT).path.read_bytes()


# ---- What is asked of pip ------------------------------------------------------------------------


def test_wheels_for_a_later_glibc_than_the_runtimes_are_not_taken() -> None:
    for python, glibc in PYTHONS.items():
        for name, arch in ARCHITECTURES.items():
            options = Build(arch=name, python=python).pip_options
            minors = [
                int(found[1])
                for option in options
                if (found := re.fullmatch(rf"--platform=manylinux_2_([0-9]+)_{arch}", option))
            ]
            assert minors == list(range(glibc, 16, -1))
            assert f"--platform=manylinux2014_{arch}" in options
            assert f"--python-version={python}" in options
            assert "--only-binary=:all:" in options


# ---- Bytecode of another version -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("echo cpython-312 final", True),
        ("echo cpython-312 candidate", False),  # its bytecode may be of a format that was given up
        ("echo pypy310 final", False),
        ("echo python3.12: command not found >&2; exit 127", False),  # a shim
    ],
)
def test_only_the_versions_own_python_compiles(
    answer: str, *, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "python3.12"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert interpreter("3.12") == (str(program) if taken else None)


def test_without_that_python_there_is_no_bytecode(zips: LambdaZips) -> None:
    built = zips(Build(with_bytecode=False))
    assert built.compiled_by is None
    assert not [name for name in entries(built) if name.endswith(".pyc")]


# ---- The command ---------------------------------------------------------------------------------


def test_the_command_prints_path_sizes_and_parts_of_the_same_bytes(
    zips: LambdaZips,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    offline(monkeypatch)
    monkeypatch.setenv("PYTHONHASHSEED", "2")
    assert main(["--directory", str(tmp_path)]) == 0
    path, sizes, *parts, bytecode = capsys.readouterr().out.splitlines()
    assert path == str(tmp_path / FUNCTION.name)
    assert re.fullmatch(r" *[0-9.]+ MB zipped, +[0-9.]+ MB unzipped", sizes)
    assert {part.split()[4] for part in parts} == PACKAGES
    assert bytecode.startswith("bytecode compiled by /")
    assert Path(path).read_bytes() == zips(FUNCTION).path.read_bytes()


def test_a_missing_wheel_is_named_in_one_line_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert main(["--arch", "arm64", "--python", "3.14", "--directory", str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lambda_zip: construct>=")
    assert "no wheel for Python 3.14 on arm64 with glibc 2.34: choose another" in line
    assert list(tmp_path.iterdir()) == []
