"""What tests/parts shows of a tree of thousands of files, of one of tens of thousands."""

from __future__ import annotations

import pytest

from tests.parts.reader.test_differential import (
    large_image,
    large_tree,
    test_contents_of_a_large_tree_are_those_that_unsquashfs_extracts,
    test_listing_of_a_large_tree_is_that_of_unsquashfs,
    test_walk_of_a_large_tree_finds_what_unsquashfs_lists,
)

__all__ = [
    "large_image",
    "large_tree",
    "test_contents_of_a_large_tree_are_those_that_unsquashfs_extracts",
    "test_listing_of_a_large_tree_is_that_of_unsquashfs",
    "test_walk_of_a_large_tree_finds_what_unsquashfs_lists",
]


@pytest.fixture(scope="module")
def regular_files() -> int:
    """How many files the tree holds at least."""
    return 20_000
