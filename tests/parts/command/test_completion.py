"""Shells take the scripts that complete the command's arguments, and complete them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from s3archivefs.cli import main
from s3archivefs.cli.completion import SHELLS
from s3archivefs.cli.table import COMMANDS

BASH = r"""
source "$1"; shift
complete=$(complete -p s3archivefs); function=${complete##*-F }; function=${function%% *}
COMP_WORDS=(s3archivefs "$@"); COMP_CWORD=$#; COMP_LINE="s3archivefs $*"; COMP_POINT=${#COMP_LINE}
$function s3archivefs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""
FISH = 'source $argv[1]; complete -C "s3archivefs $argv[2..]"'


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Path]:
    found = {}
    for shell in SHELLS:
        assert main(["completion", shell]) == 0
        found[shell] = tmp_path / f"script.{shell}"
        found[shell].write_text(capsys.readouterr().out)
    return found


def completed(shell: str, script: Path, *words: str) -> set[str]:
    program = ["bash", "-c", BASH, "bash"] if shell == "bash" else ["fish", "-c", FISH]
    done = subprocess.run(
        [*program, script, *words], cwd=script.parent, capture_output=True, text=True, check=True
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
    assert completed(shell, script, "ls", "--so") == {"--sort"}
    assert {"name", "size", "time"} <= completed(shell, script, "ls", "--sort", "")
    assert completed(shell, script, "hash", "script.z") == {"script.zsh"}
    (script.parent / "directory").mkdir()
    found = completed(shell, script, "umount", "")
    assert {each.rstrip("/") for each in found} >= {"directory"}
    assert "script.zsh" not in found
