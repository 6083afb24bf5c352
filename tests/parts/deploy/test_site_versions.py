"""Versions of the site, side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[3] / "deploy" / "site_versions.py"


def test_versions_lie_side_by_side_and_the_root_leads_to_the_newest(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "CNAME").touch()
    for number, version in enumerate(["0.9.0", "0.10.0", "0.10.1rc1", "0.9.0"]):
        made = tmp_path / str(number)
        (made / version).mkdir(parents=True)
        (made / "man").mkdir()
        (made / version / f"{number}.html").touch()
        program = [sys.executable, str(PROGRAM), str(made), str(pages)]
        subprocess.run(program, check=True)
    assert json.loads((pages / "versions.json").read_text()) == ["0.10.1rc1", "0.10.0", "0.9.0"]
    assert "url=0.10.0/" in (pages / "index.html").read_text()
    assert [path.name for path in (pages / "0.9.0").iterdir()] == ["3.html"]
    assert not (pages / "man").exists()
