from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.man_pages import manual_pages, write_manual_pages
from s3archivefs.cli.table import COMMANDS


def test_every_subcommand_has_a_page() -> None:
    names = {f"s3archivefs-{name}.1" for name in (*COMMANDS, "serve", "upload")}
    assert set(manual_pages()) == {"s3archivefs.1", "mount.s3archivefs.8", *names}


def test_pages_are_what_mandoc_takes_without_a_warning(tmp_path: Path) -> None:
    pages = write_manual_pages(tmp_path)
    lint = ["mandoc", "-T", "lint", "-W", "warning"]
    done = subprocess.run([*lint, *pages], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_page_shows_options_examples_and_exit_codes(tmp_path: Path) -> None:
    (page,) = (path for path in write_manual_pages(tmp_path) if path.stem == "s3archivefs-cat")
    shown = subprocess.run(
        ["mandoc", "-T", "ascii", page], capture_output=True, text=True, check=True
    ).stdout
    text = " ".join(shown.replace("\b", "\0").split())
    plain = "".join(
        each for at, each in enumerate(text) if text[at : at + 2][1:] != "\0" and each != "\0"
    )
    assert "s3archivefs cat --range -100 docs.sqfs /log the last 100 bytes" in plain
    assert "--range A-B of each file only bytes A to B" in plain
    assert "3 not there" in plain


def test_the_helpers_page_has_the_exit_codes_of_mount() -> None:
    page = manual_pages()["mount.s3archivefs.8"]
    assert page.startswith('.TH "MOUNT.S3ARCHIVEFS" 8 ')
    assert ".TP\n32\nthe mount failed\n" in page
    assert page.endswith(".SH SEE ALSO\n.BR s3archivefs\\-mount (1)\n")


def test_the_same_day_gives_the_same_pages() -> None:
    assert manual_pages() == manual_pages()
