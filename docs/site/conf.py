"""How Sphinx makes the site: of the pages as they stand in the checkout, and of docstrings."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import s3archivefs  # noqa: E402 -- from the checkout

project = "s3archivefs"
author = "The s3archivefs developers"
release = version = s3archivefs.__version__

# Pages keep their places, so that a link works both on a code hosting site and here.
root_doc = "docs/site/index"
include_patterns = ["*.md", "docs/**", "deploy/**.md"]
exclude_patterns = [".*", "dist", "site"]

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 4
# Directories of the checkout, which the site has not: their names alone.
nitpick_ignore_regex = [("myst", r"[\w./-]+/")]

default_role = "py:obj"  # `Stat` in a docstring is a link where there is such a name
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
add_module_names = False

templates_path = ["templates"]
html_theme = "furo"
html_title = f"s3archivefs {release}"
html_show_sourcelink = False
html_copy_source = False
html_additional_pages = {"index": "redirect.html"}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "versions.html",
        "sidebar/scroll-end.html",
    ]
}
