"""What commands write with `--json` is what docs/json.schema.json and docs/json.md say."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from s3archivefs.cli.table import COMMANDS
from tests.support.command_line import run
from tests.support.images.fixtures import FIXTURES, make_image
from tests.support.images.odd import ODD, make_odd_image

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA: dict[str, Any] = json.loads((DOCS / "json.schema.json").read_text(encoding="utf-8"))
DEFINITIONS: dict[str, Any] = SCHEMA["$defs"]
NAMES = [name for name in DEFINITIONS if name in COMMANDS]


def line_of(command: str) -> jsonschema.Draft202012Validator:
    """What judges a line that the command writes."""
    schema = {"$defs": DEFINITIONS, "$ref": f"#/$defs/{command}"}
    return jsonschema.Draft202012Validator(schema)


def has_json(command: str) -> bool:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"s3archivefs.cli.{command}").add_arguments(parser)
    return "--json" in parser.format_help()


def test_schema_is_one_and_describes_every_command_that_has_the_option() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert {*NAMES} == {command for command in COMMANDS if has_json(command)}
    assert sorted(each["$ref"] for each in SCHEMA["anyOf"]) == sorted(
        f"#/$defs/{name}" for name in NAMES
    )


# ---- Real output ---------------------------------------------------------------------------------

# Odd names and kinds, names that are not UTF-8, attributes, links that lead nowhere, holes.
IMAGES = ("special", "non-utf8", "xattrs", "symlinks", "sparse", "tar2sqfs", "empty", "lz4-options")


# A tar stream has no attributes whose names are not UTF-8; nobody names an image so.
RARE = {"name_b64", "first_b64", "image_b64", "path_b64", "sha1", "sha224", "sha384", "sha512"}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd_image(tmp_path_factory.mktemp("json"))


@pytest.fixture(scope="module")
def other(odd: Path) -> Path:
    """An image that differs in attributes and targets, and has a damaged block."""
    fields: dict[str, Any] = {"mode": 0o600, "target": "\udcfe"}
    tree = [replace(node, **fields, xattrs={"user.other": b"other"}) for node in ODD]
    image = make_image(odd.parent, tuple(tree), name="other")
    content = bytearray(image.read_bytes())
    content[96:104] = b"\xff" * 8
    image.write_bytes(content)
    return image


def output(command: str, image: Path, other: Path) -> Iterator[dict[str, Any]]:
    """All that the command writes of an image, in each of its ways."""
    ways: dict[str, list[tuple[object, ...]]] = {
        "ls": [("-R", image), ("-d", image)],
        "tree": [(image,), ("-d", "-L", 1, image)],
        "find": [(image,), ("--type", "f", image)],
        "du": [(image,), ("-a", image), ("-s", image, "/")],
        "diff": [(image, other), (image, image.parent)],
        "extract": [("-f", "-C", other.parent / "extracted", image)],
        "pack": [("-f", image, other.parent / "packed.sqfs")],
        "info": [(image,), ("--scan", image)],
        "hash": [(image,), ("--algorithm", "md5", image), ("--algorithm", "blake2b", image)],
        "verify": [(other,), (image,)],
    }
    if command in {"append", "remove", "compact"}:
        changing = other.parent / "changing.sqfs"
        shutil.copy(image, changing)
        run("append", changing, image, "--into", "added")
        ways["append"] = [(changing, image, "--into", "more"), ("-n", changing, image)]
        ways["remove"] = [("-n", changing, "/added"), (changing, "/added")]
        ways["compact"] = [(changing,), ("-n", "--threshold", "0", changing)]
    if command == "stat":
        found = run("find", "-0", image).written.decode("utf-8", "surrogateescape")
        ways["stat"] = [(image, *found.split("\0")[:-1])]
    for way in ways[command]:
        yield from run(command, "--json", *way).items


@pytest.mark.parametrize("command", NAMES)
def test_every_line_is_as_the_schema_says(command: str, odd: Path, other: Path) -> None:
    judge = line_of(command)
    lines = [
        line
        for image in (odd, other, *(FIXTURES[name].image for name in IMAGES))
        for line in output(command, image, other)
    ]
    assert [(line, error.message) for line in lines for error in judge.iter_errors(line)] == []
    assert keys_of(DEFINITIONS[command]) - {key for line in lines for key in line} <= RARE


@pytest.mark.parametrize("command", NAMES)
def test_schema_refuses_keys_that_are_missing_or_unknown(
    command: str, odd: Path, other: Path
) -> None:
    judge = line_of(command)
    line = next(output(command, odd, other))
    assert judge.is_valid(line)
    assert not judge.is_valid(line | {"unknown": 1})
    optional = {"path_b64", "image_b64", "target_b64", "first", "second"}
    for key in line.keys() - optional:
        assert not judge.is_valid({name: value for name, value in line.items() if name != key}), key
        assert not judge.is_valid(line | {key: {"no": "such value"}}), key


# ---- The page ------------------------------------------------------------------------------------


def keys_of(definition: dict[str, Any]) -> set[str]:
    """The keys of a line that a definition describes."""
    keys = {*definition.get("properties", ())}
    if "$ref" in definition:
        keys |= keys_of(DEFINITIONS[definition["$ref"].rpartition("/")[2]])
    return keys


def test_page_tells_of_every_key() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert told == {key for name in NAMES for key in keys_of(DEFINITIONS[name])}


def test_page_tells_of_every_command() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}`" not in page] == []
