"""Put the pages of one version beside those of others, and list them.

python3 deploy/site_versions.py site pages

`site` holds one directory, named by its version. It becomes `pages/VERSION`; `pages/versions.json`
lists all, the newest first, and `pages/index.html` leads to the newest that is no pre-release.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

__all__ = ["main"]

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})(\D.{0,99})?")
REDIRECT = """<!doctype html>
<meta charset="utf-8">
<title>s3archivefs</title>
<meta http-equiv="refresh" content="0; url={0}/">
<a href="{0}/">s3archivefs {0}</a>
"""


def main(site: Path, pages: Path) -> None:
    """Copy the versions of `site` to `pages`, each in place of its former pages."""
    for version in filter(_order, (path.name for path in site.iterdir())):
        shutil.rmtree(pages / version, ignore_errors=True)
        shutil.copytree(site / version, pages / version)
    found = sorted(filter(_order, (path.name for path in pages.iterdir())), key=_order)
    found.reverse()
    newest = next((version for version in found if _order(version)[3]), found[0])
    (pages / "versions.json").write_text(json.dumps(found), encoding="utf-8")
    (pages / "index.html").write_text(REDIRECT.format(newest), encoding="utf-8")
    (pages / ".nojekyll").touch()  # as some directories begin with an underscore


def _order(name: str) -> tuple[int, ...]:
    """Return what sorts a version, last 0 for a pre-release; () for another name."""
    found = _VERSION.fullmatch(name)
    return () if found is None else (*map(int, found.groups()[:3]), int(not found[4]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
