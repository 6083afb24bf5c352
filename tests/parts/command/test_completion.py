"""Shells take the scripts that complete the command's arguments, and complete them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from s3archivefs.cli import main
from s3archivefs.cli.completion import SHELLS
from s3archivefs.cli.table import COMMANDS
from tests.support.images.built import build, directory, file

BASH = r"""
source "$1"; shift
complete=$(complete -p s3archivefs); function=${complete##*-F }; function=${function%% *}
COMP_WORDS=(s3archivefs "$@"); COMP_CWORD=$#; COMP_LINE="s3archivefs $*"; COMP_POINT=${#COMP_LINE}
$function s3archivefs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
ZSH = r"""
compdef() { }
compadd() { while [[ $1 != -- ]]; do shift; done; shift; (( ! $# )) || print -l -- $@ }
eval "$(<$1)"; shift
words=("$@") CURRENT=$# PREFIX=${@[-1]}
_s3archivefs_files_inside
"""
FISH = 'source $argv[1]; complete -C "s3archivefs $argv[2..]"'

PROGRAMS = {
    "bash": ["bash", "-c", BASH, "bash"],
    "zsh": ["zsh", "-f", "-c", ZSH, "zsh"],
    "fish": ["fish", "--no-config", "-c", FISH],
}


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    found = {}
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        found[shell] = tmp_path / f"script.{shell}"
        found[shell].write_text(capsys.readouterr().out)
    return found


def completed(shell: str, script: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [*PROGRAMS[shell], script, *words],
        cwd=script.parent,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return {line.partition("\t")[0] for line in done.stdout.splitlines()}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_finds_no_fault_in_its_script(shell: str, scripts: dict[str, Path]) -> None:
    done = subprocess.run([shell, "-n", scripts[shell]], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_subcommands_options_choices_and_files_are_completed(
    shell: str, scripts: dict[str, Path]
) -> None:
    script = scripts[shell]
    assert {*COMMANDS, "serve", "upload"} <= completed(shell, script, "")
    assert completed(shell, script, "ver") == {"verify"}
    # Not --so: fish 4 offers --json too, which has it inside.
    assert completed(shell, script, "ls", "--sor") == {"--sort"}
    assert {"name", "size", "time"} <= completed(shell, script, "ls", "--sort", "")
    assert completed(shell, script, "hash", "script.z") == {"script.zsh"}
    (script.parent / "directory").mkdir()
    found = completed(shell, script, "umount", "")
    assert {each.rstrip("/") for each in found} >= {"directory"}
    assert "script.zsh" not in found


@pytest.mark.parametrize("shell", PROGRAMS)
def test_paths_inside_a_local_image_are_completed(shell: str, scripts: dict[str, Path]) -> None:
    script = scripts[shell]
    tree = directory({b"docs": directory({b"a b": file(b""), b"c": file(b"")}), b"e": file(b"")})
    (script.parent / "a.sqfs").write_bytes(build(tree).data)
    within = {"docs/a b", "docs/c"}
    at_once = within if shell == "bash" else {"docs/"}  # bash would add a space to a single one
    assert completed(shell, script, "extract", "a.sqfs", "d") == at_once
    assert completed(shell, script, "ls", "a.sqfs", "docs/") == within
    assert completed(shell, script, "ls", "a.sqfs", "docs/a\\ ") >= {"docs/a b"}
    assert "docs/" not in completed(shell, script, "ls", "s3://bucket/a.sqfs", "d")
