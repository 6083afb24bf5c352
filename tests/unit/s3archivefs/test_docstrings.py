"""Public names have a docstring that names the section of the format they rest on."""

from __future__ import annotations

import inspect
import re

import pytest

import s3archivefs

SECTIONS = {
    "The Superblock",
    "Compression Options",
    "Data and Fragment Blocks",
    "Inode Table",
    "Common Inode Header",
    "File Inodes",
    "Symbolic Links",
    "Directory Table",
    "Directory Index",
    "Fragment Table",
    "Export Table",
    "ID Table",
    "Extended Attribute Table",
}
"""Titles of the format's public description that a public name may rest on."""

ON_NO_SECTION = {
    # What an image lies in, what it may cost, what is wrong with it.
    *("BlockDevice", "BytesDevice", "FileDevice", "OffsetDevice", "ReadAhead"),
    *("Limits", "Problem"),
    *(name for name in s3archivefs.__all__ if name.endswith("Error")),
    # What is extracted, and how.
    *("Counts", "Member", "data_filter", "fully_trusted_filter", "tar_filter"),
    # Made of what others read.
    *("Path", "SquashFS", "SquashFS.close", "SquashFS.exists", "SquashFS.path", "SquashFS.verify"),
    *("SquashFS.cached_bytes", "SquashFS.device", "SquashFS.limits", "SquashFS.stat_of_entry"),
    *("SquashFS.is_distant", "__version__"),
    *("leads_nowhere", "open", "renew_after_fork", "Flight", "Lock", "SingleFlight"),
    *("may_wait", "only_cached"),
}


def public_names() -> dict[str, object]:
    """The names of the package, and the methods of `SquashFS`, by how a user writes them."""
    names = {name: getattr(s3archivefs, name) for name in s3archivefs.__all__}
    methods = inspect.getmembers(s3archivefs.SquashFS)
    return names | {f"SquashFS.{name}": value for name, value in methods if name[0] != "_"}


@pytest.mark.parametrize("name", public_names())
def test_public_name_names_the_section_of_the_format_it_rests_on(name: str) -> None:
    docstring = inspect.getdoc(public_names()[name]) or ""
    assert len(docstring) > 20
    named = re.findall(r"Format: ((?:\"[^\"]+\"(?:, )?)+)\.", docstring)
    sections = {section for part in named for section in re.findall(r'"([^"]+)"', part)}
    assert sections <= SECTIONS
    assert bool(sections) is (name not in ON_NO_SECTION)


@pytest.mark.parametrize("owner", ["SquashFS", "SquashFile", "Path", "DirEntry", "FileDevice"])
def test_every_public_method_has_a_docstring_of_its_own(owner: str) -> None:
    for name, value in vars(getattr(s3archivefs, owner)).items():
        if name[0] != "_" and (callable(value) or isinstance(value, property)):
            assert value.__doc__, name
