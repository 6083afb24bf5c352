from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs import Limits
from s3archivefs_lambda.config.errors import SettingError
from s3archivefs_lambda.config.settings import SETTINGS, Config, chunk_size_for

if TYPE_CHECKING:
    from dataclasses import Field

VMAP = "S3ARCHIVEFS_PREFIX_VMAP"


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingError) as error:
        Config.from_environ(environ)
    return str(error.value).splitlines()


def mapped(config: Config) -> dict[str, str]:
    return {mapping.prefix: str(mapping.location) for mapping in config.mappings}


def test_an_empty_environment_gives_the_defaults() -> None:
    config = Config.from_environ({})
    assert config.cache_dir == Path("/tmp")  # noqa: S108 -- the documented default
    assert config.cache_chunk_size is None
    assert len(config.mappings) == 0
    assert config.revalidate_seconds == 60
    assert config.tail_bytes == 524288
    assert config.superblock_metadata == "auto"
    assert config.open_archives_bytes == 256 << 20
    assert config.stale_seconds == 3600
    assert config.metrics is None
    assert config.limits == Limits()


def test_the_default_cache_limit_leaves_room_in_lambdas_512_mb() -> None:
    assert Config.from_environ({}).cache_max_bytes <= 0.8 * 512_000_000


@pytest.mark.parametrize(
    ("function", "mebibytes"),
    [("", 64), ("128", 16), ("512", 64), ("10240", 64), ("many", 64), ("0", 0)],
)
def test_memory_for_chunks_fits_into_the_function(function: str, mebibytes: int) -> None:
    environ = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": function}
    assert Config.from_environ(environ).cache_memory_bytes == mebibytes << 20
    environ["S3ARCHIVEFS_CACHE_MEMORY_BYTES"] = "5"
    assert Config.from_environ(environ).cache_memory_bytes == 5


@pytest.mark.parametrize(
    ("function", "mebibytes"),
    [("", 256), ("128", 32), ("512", 128), ("10240", 256), ("many", 256), ("0", 0)],
)
def test_memory_for_open_archives_fits_into_the_function(function: str, mebibytes: int) -> None:
    environ = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": function}
    assert Config.from_environ(environ).open_archives_bytes == mebibytes << 20
    environ["S3ARCHIVEFS_OPEN_ARCHIVES_BYTES"] = "5"
    assert Config.from_environ(environ).open_archives_bytes == 5


def test_every_setting_is_taken_from_its_variable() -> None:
    config = Config.from_environ(
        {
            "S3ARCHIVEFS_CACHE_DIR": "/mnt/efs",
            "S3ARCHIVEFS_CACHE_CHUNK_SIZE": "1048576",
            "S3ARCHIVEFS_CACHE_MAX_BYTES": "0",
            "S3ARCHIVEFS_PREFIX_VMAP1": "docs|s3://bucket/docs.sqfs",
            "S3ARCHIVEFS_REVALIDATE_SECONDS": "0.5",
            "S3ARCHIVEFS_TAIL_BYTES": "1",
            "S3ARCHIVEFS_SUPERBLOCK_METADATA": "expected",
            "S3ARCHIVEFS_OPEN_ARCHIVES_BYTES": "1",
            "S3ARCHIVEFS_STALE_SECONDS": "7",
            "S3ARCHIVEFS_METRICS": "emf",
            "S3ARCHIVEFS_LIMIT_SYMLINK_HOPS": "7",
            "S3ARCHIVEFS_LIMIT_CACHE_BYTES": "0",
            "PATH": "/bin",
            "AWS_REGION": "eu-west-1",
        }
    )
    assert config.cache_dir == Path("/mnt/efs")
    assert config.cache_chunk_size == 1048576
    assert config.cache_max_bytes == 0
    assert mapped(config) == {"docs": "s3://bucket/docs.sqfs"}
    assert config.revalidate_seconds == 0.5
    assert config.tail_bytes == 1
    assert config.superblock_metadata == "expected"
    assert config.open_archives_bytes == 1
    assert config.stale_seconds == 7
    assert config.metrics == "emf"
    assert config.limits == Limits(symlink_hops=7, cache_bytes=0)


def test_one_archive_may_cache_half_of_what_all_open_archives_may_take() -> None:
    environ = {"S3ARCHIVEFS_OPEN_ARCHIVES_BYTES": "1000"}
    assert Config.from_environ(environ).limits == Limits(cache_bytes=500)
    in_function = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}
    assert Config.from_environ(in_function).limits == Limits(cache_bytes=64 << 20)
    environ |= {"S3ARCHIVEFS_LIMIT_CACHE_BYTES": "700"}
    assert Config.from_environ(environ).limits == Limits(cache_bytes=700)


@pytest.mark.parametrize("field", fields(Limits), ids=lambda field: field.name)
def test_every_limit_of_the_reader_is_a_setting(field: Field[int]) -> None:
    environ = {f"S3ARCHIVEFS_LIMIT_{field.name.upper()}": "12345"}
    assert Config.from_environ(environ).limits == Limits(**{field.name: 12345})


def test_a_relative_cache_directory_stays_where_it_is_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Config.from_environ({"S3ARCHIVEFS_CACHE_DIR": "c"}).cache_dir == tmp_path / "c"


def test_a_setting_set_to_nothing_counts_as_unset() -> None:
    scalars = [setting.name for setting in SETTINGS if setting.parse]
    assert Config.from_environ(dict.fromkeys(scalars, "")) == Config.from_environ({})
    assert Config.from_environ({f"{VMAP}_EXT_FILE": ""}) == Config.from_environ({})


@pytest.mark.parametrize(
    "name",
    [
        "S3ARCHIVEFS_CACHE_CHUNK_SIZE",
        "S3ARCHIVEFS_CACHE_MAX_BYTES",
        "S3ARCHIVEFS_REVALIDATE_SECONDS",
        "S3ARCHIVEFS_TAIL_BYTES",
        "S3ARCHIVEFS_CACHE_MEMORY_BYTES",
        "S3ARCHIVEFS_OPEN_ARCHIVES_BYTES",
        "S3ARCHIVEFS_STALE_SECONDS",
        "S3ARCHIVEFS_LIMIT_ENTRIES",
    ],
)
@pytest.mark.parametrize(
    "value", ["-1", "+1", "1e3", "1_000", " 1", "1\n", "0x10", "nan", "inf", "1,5", "٣", "9" * 5000]
)
def test_numbers_are_plain_digits(name: str, value: str) -> None:
    (fault,) = faults({name: value})
    assert fault.startswith(f"{name}={value!r}: write ")


def test_zero_is_refused_where_it_would_leave_nothing_to_work_with() -> None:
    (fault,) = faults({"S3ARCHIVEFS_TAIL_BYTES": "0"})
    assert fault.startswith("S3ARCHIVEFS_TAIL_BYTES='0': write a whole number from 1 ")


def test_sizes_that_are_held_in_memory_are_bounded() -> None:
    environ = dict.fromkeys(
        ["S3ARCHIVEFS_CACHE_CHUNK_SIZE", "S3ARCHIVEFS_TAIL_BYTES"], "1073741825"
    )
    assert len(faults(environ)) == 2


@pytest.mark.parametrize("value", ["Auto", "yes", "expect"])
def test_the_superblock_setting_knows_two_words(value: str) -> None:
    (fault,) = faults({"S3ARCHIVEFS_SUPERBLOCK_METADATA": value})
    assert 'write "auto" or "expected"' in fault


@pytest.mark.parametrize("value", ["EMF", "emf ", "none", "0"])
def test_metrics_are_of_a_known_kind(value: str) -> None:
    (fault,) = faults({"S3ARCHIVEFS_METRICS": value})
    assert fault == f'S3ARCHIVEFS_METRICS={value!r}: write "emf", or nothing for none'


# --- the chunk size


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("0", None),
        ("1", 1),
        ("4096", 4096),
        ("131071", 65536),
        ("131072", 131072),
        ("131073", 131072),
        ("1000000", 524288),
        ("1073741824", 1073741824),
    ],
)
def test_the_chunk_size_is_floored_to_a_power_of_two(value: str, size: int | None) -> None:
    assert Config.from_environ({"S3ARCHIVEFS_CACHE_CHUNK_SIZE": value}).cache_chunk_size == size


@pytest.mark.parametrize(
    ("configured", "block_size", "size"),
    [
        (None, 131072, 131072),
        (65536, 131072, 131072),
        (131072, 131072, 131072),
        (262144, 131072, 262144),
        (131073, 131072, 131072),
        (300000, 131072, 262144),
    ],
)
def test_a_chunk_is_never_smaller_than_a_block(
    configured: int | None, block_size: int, size: int
) -> None:
    assert chunk_size_for(configured, block_size) == size


@pytest.mark.property
@given(st.integers(0, 1 << 30), st.integers(12, 20).map(lambda exponent: 1 << exponent))
def test_the_chunk_size_follows_the_rule_for_any_number(configured: int, block_size: int) -> None:
    environ = {"S3ARCHIVEFS_CACHE_CHUNK_SIZE": str(configured)}
    size = chunk_size_for(Config.from_environ(environ).cache_chunk_size, block_size)
    if configured < block_size:
        assert size == block_size
    else:
        assert size <= configured < 2 * size
        assert size in {1 << exponent for exponent in range(31)}


# --- mappings


def test_mapping_numbers_may_have_gaps() -> None:
    config = Config.from_environ({f"{VMAP}3": "a|s3://bucket/a", f"{VMAP}20": "b|s3://bucket/b"})
    assert mapped(config) == {"a": "s3://bucket/a", "b": "s3://bucket/b"}
    assert [mapping.origin for mapping in config.mappings] == [f"{VMAP}3", f"{VMAP}20"]


@pytest.mark.parametrize("suffix", ["0", "21", "01", "x", "1x", "", "-1", "100"])
def test_a_mapping_outside_1_to_20_is_refused_rather_than_lost(suffix: str) -> None:
    (fault,) = faults({VMAP + suffix: "a|s3://bucket/a"})
    assert fault.startswith(f"{VMAP}{suffix}: mappings are {VMAP}1 to {VMAP}20,")
    assert fault.endswith(f"{VMAP}_EXT_FILE")


def test_an_empty_mapping_is_refused_rather_than_lost() -> None:
    (fault,) = faults({f"{VMAP}2": ""})
    assert fault.startswith(f"{VMAP}2: the mapping '' is not of the form")


def test_a_file_adds_mappings_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "mappings.txt"
    lines = ["\ufeff# ours", "", "  ", "a|s3://bucket/a\r", "  # more", "ключ|s3://bucket/b", "#c|"]
    file.write_text("\n".join(lines), "utf-8")
    config = Config.from_environ({f"{VMAP}_EXT_FILE": str(file), f"{VMAP}1": "z|s3://bucket/z"})
    assert mapped(config) == {"a": "s3://bucket/a", "z": "s3://bucket/z", "ключ": "s3://bucket/b"}
    assert [m.origin for m in config.mappings] == [f"{file}:4", f"{VMAP}1", f"{file}:6"]


def test_a_byte_order_mark_is_no_part_of_the_first_prefix(tmp_path: Path) -> None:
    file = tmp_path / "mappings.txt"
    file.write_text("a|s3://bucket/a", "utf-8-sig")
    assert mapped(Config.from_environ({f"{VMAP}_EXT_FILE": str(file)})) == {"a": "s3://bucket/a"}


def test_unusual_line_separators_do_not_divide_a_mapping(tmp_path: Path) -> None:
    file = tmp_path / "mappings.txt"
    file.write_text("a\u2028b|s3://bucket/x\x0by\n", "utf-8")
    assert mapped(Config.from_environ({f"{VMAP}_EXT_FILE": str(file)})) == {
        "a\u2028b": "s3://bucket/x\x0by"
    }


def test_a_malformed_line_is_named_by_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "mappings.txt"
    file.write_text("a|s3://bucket/a\n\nb|s3://bucket\nc\n")
    first, second = faults({f"{VMAP}_EXT_FILE": str(file)})
    assert first.startswith(f"{file}:3: ")
    assert second.startswith(f"{file}:4: ")


def test_a_prefix_in_both_a_variable_and_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mappings.txt"
    file.write_text("a/|s3://bucket/b\n")
    (fault,) = faults({f"{VMAP}_EXT_FILE": str(file), f"{VMAP}1": "a|s3://bucket/a"})
    assert fault.startswith(f"{file}:1: ")
    assert f"{VMAP}1" in fault


@pytest.mark.parametrize("name", ["missing.txt", ".", "latin1.txt", "nul\0.txt"])
def test_a_mapping_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "latin1.txt").write_bytes("clé|s3://bucket/a".encode("latin-1"))
    file = str(tmp_path / name)
    (fault,) = faults({f"{VMAP}_EXT_FILE": file})
    assert fault.startswith(f"{VMAP}_EXT_FILE={file!r}: ")


# --- names


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("S3ARCHIVEFS_CACHE_DIRECTORY", "S3ARCHIVEFS_CACHE_DIR"),
        ("S3ARCHIVEFS_CHUNK_SIZE", "S3ARCHIVEFS_CACHE_CHUNK_SIZE"),
        ("S3ARCHIVEFS_PREFIX_VMAP_EXT_FIEL", "S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE"),
        ("S3ARCHIVEFS_PREFIX_MAP7", "S3ARCHIVEFS_PREFIX_VMAP7"),
        ("S3ARCHIVEFS_tail_bytes", "S3ARCHIVEFS_TAIL_BYTES"),
        ("S3ARCHIVEFS_SYMLINK_HOPS", "S3ARCHIVEFS_LIMIT_SYMLINK_HOPS"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(name: str, nearest: str) -> None:
    assert faults({name: "1"}) == [f"{name}: there is no such setting; the nearest is {nearest}"]


@pytest.mark.parametrize("name", ["S3ARCHIVEFS_", "S3ARCHIVEFS_DEBUG", "S3ARCHIVEFS_COLOUR"])
def test_no_name_is_suggested_where_none_is_near(name: str) -> None:
    (fault,) = faults({name: "1"})
    assert fault == f"{name}: there is no such setting; docs/settings.md lists them all"


@pytest.mark.parametrize("value", ["GIR", "8388608", "none such"])
def test_the_settings_of_upload_are_left_to_upload(value: str) -> None:
    environ = dict.fromkeys(["S3ARCHIVEFS_STORAGE_CLASS", "S3ARCHIVEFS_MPU_CHUNK_SIZE"], value)
    assert Config.from_environ(environ) == Config.from_environ({})


def test_the_endpoints_own_settings_are_left_to_the_endpoint() -> None:
    environ = dict.fromkeys(
        ["S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID", "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY"], "x"
    )
    assert Config.from_environ(environ) == Config.from_environ({})


def test_all_faults_are_reported_at_once() -> None:
    found = faults(
        {
            "S3ARCHIVEFS_CACHE_DRI": "/tmp",  # noqa: S108 -- any value
            "S3ARCHIVEFS_TAIL_BYTES": "-1",
            f"{VMAP}0": "a|s3://bucket/a",
            f"{VMAP}1": "nonsense",
            f"{VMAP}2": "b|s3://bucket/b",
            f"{VMAP}3": "b|s3://bucket/c",
            f"{VMAP}_EXT_FILE": "/nowhere",
        }
    )
    starts = [fault.split(":")[0].split("=")[0] for fault in found]
    assert sorted(starts) == [
        "S3ARCHIVEFS_CACHE_DRI",
        f"{VMAP}0",
        f"{VMAP}1",
        f"{VMAP}3",
        f"{VMAP}_EXT_FILE",
        "S3ARCHIVEFS_TAIL_BYTES",
    ]


def test_mappings_may_name_the_bucket_that_has_them(tmp_path: Path) -> None:
    file = tmp_path / "mappings"
    file.write_text("s3://maps/docs|s3://bucket/c\n")
    config = Config.from_environ(
        {
            f"{VMAP}1": "docs|s3://bucket/a",
            f"{VMAP}2": "s3://books|s3://bucket/b",
            f"{VMAP}_EXT_FILE": str(file),
        }
    )
    assert mapped(config) == {"docs": "s3://bucket/a"}
    assert {
        name: {found.prefix: str(found.location) for found in mappings}
        for name, mappings in config.further_buckets.items()
    } == {"books": {"": "s3://bucket/b"}, "maps": {"docs": "s3://bucket/c"}}


# --- the table, from which documentation is made


def test_the_table_explains_every_setting_once() -> None:
    names = [setting.name for setting in SETTINGS]
    assert len(set(names)) == len(names)
    filled = {setting.field.partition(".")[0] for setting in SETTINGS}
    assert filled == set(Config.__dataclass_fields__) - {"further_buckets"}  # mappings fill both
    assert all(setting.doc.endswith(".") and "\n" not in setting.doc for setting in SETTINGS)


def test_importing_the_package_or_its_settings_imports_no_boto() -> None:
    program = (
        "import sys, s3archivefs_lambda.config.settings, s3archivefs_lambda.store.device,"
        " s3archivefs_lambda.cache.device; print(*sys.modules)"
    )
    modules = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"boto3", "botocore", "urllib3", "http.client"}.intersection(modules)
