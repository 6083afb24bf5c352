"""Programs under the names that the project's pages use, each doing what it does for a reader, as
far as that is possible here:

    aws          the real AWS CLI. S3 is a real server on loopback. What that does not implement,
                 and what any other service of AWS would have to answer, ends at the connection,
                 after the CLI has taken the command
    s3archivefs  the installed one; `serve` goes on in the background, on a port of its own
    python3      the installed one; of noxfile.py only the sessions that RUN_SESSIONS names are run
    pip          the installed one; to install the project again, as it is, is left out
    docker, ...  what needs more than a machine like this: UNAVAILABLE says what

`install` writes them to a directory for PATH; each logs what it did as a line of JSON.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SYNTAX_ONLY = "syntax"
RAN = "ran"
LEFT_OUT = "left out"

RUN_SESSIONS = {"lambda_zip"}
"""The rest are what runs the tests, or takes longer than all of them."""
UNAVAILABLE = {
    "docker": "needs a container engine",
    "kubectl": "needs a cluster",
}
UNIMPLEMENTED = {"put-bucket-lifecycle-configuration"}
"""Commands of `aws s3api` that the store takes for others."""
NOWHERE = "http://127.0.0.1:9"
"""The address of AWS's other services: the discard port, where nobody listens."""
READY_SECONDS = 200

_SESSION = re.compile(r"^@nox\.session(?:\(name=\"(\w+)\"\))?\ndef (\w+)", re.MULTILINE)


def install(directory: Path, *, real: dict[str, Path], port: int) -> Path:
    """Write the programs to `directory`; returns the log.

    `real` are the paths of the real ones, `port` is for `serve`.
    """
    directory.mkdir()
    log = directory / "log.jsonl"
    log.touch()
    for name in [*real, *UNAVAILABLE]:
        program = directory / name
        call = [name, str(real.get(name, "")), str(log), str(port)]
        program.write_text(
            f"#!{sys.executable}\n"
            f"import sys\n"
            f"sys.path.insert(0, {str(Path(__file__).parents[3])!r})\n"
            f"from tests.support.documents.page_programs import main\n"
            f"sys.exit(main({call!r}, sys.argv[1:]))\n",
            encoding="utf-8",
        )
        program.chmod(0o755)
    return log


def main(call: list[str], arguments: list[str]) -> int:
    """One run of one of the programs; its exit status."""
    name, real, log, port = call
    if name in UNAVAILABLE:
        done, status = LEFT_OUT, 0
    elif name == "aws":
        done, status = _aws([real, *arguments])
    elif name == "python3" and arguments[:1] == ["noxfile.py"]:
        done, status = _nox([real, *arguments])
    elif name == "pip" and arguments == ["install", ".[all]"]:
        done, status = LEFT_OUT, 0
    elif name == "s3archivefs" and arguments[:1] == ["serve"]:
        done, status = _serve([real, *arguments, "--port", port], Path(log).parent)
    else:
        done, status = RAN, subprocess.run([real, *arguments], check=False).returncode
    with Path(log).open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({"command": [name, *arguments], "done": done}) + "\n")
    return status


def sessions(noxfile: Path) -> set[str]:
    """The names of a noxfile's sessions."""
    return {name or function for name, function in _SESSION.findall(noxfile.read_text("utf-8"))}


def _aws(command: list[str]) -> tuple[str, int]:
    if UNIMPLEMENTED.intersection(command):
        command = [*command, "--endpoint-url", NOWHERE]
    ran = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
    if ran.returncode and f'Could not connect to the endpoint URL: "{NOWHERE}' in ran.stderr:
        with suppress(BrokenPipeError):  # nobody may want it
            os.write(1, b"{}\n")  # in place of an answer
        return SYNTAX_ONLY, 0
    sys.stderr.write(ran.stderr)
    return RAN, ran.returncode


def _nox(command: list[str]) -> tuple[str, int]:
    named = command[command.index("-s") + 1 : command.index("-s") + 2] if "-s" in command else []
    unknown = set(named) - sessions(Path("noxfile.py"))
    if unknown:
        sys.stderr.write(f"noxfile.py has no session {unknown.pop()}\n")
        return RAN, 1
    if not set(named) <= RUN_SESSIONS or not named:
        return LEFT_OUT, 0
    return RAN, subprocess.run(command, check=False).returncode


def _serve(command: list[str], directory: Path) -> tuple[str, int]:
    """Start the endpoint, and leave it to whoever ends what `background` names."""
    server = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    (directory / f"{server.pid}.pid").touch()
    assert server.stdout is not None
    readable, _, _ = select.select([server.stdout], [], [], READY_SECONDS)
    ready = bool(readable and server.stdout.readline())
    server.returncode = 0  # it goes on, and this process does not wait for it
    return RAN, 0 if ready else 1


def background(directory: Path) -> list[int]:
    """The processes that `serve` has left running, of the programs in `directory`."""
    numbers = [int(path.stem) for path in directory.glob("*.pid")]
    return [number for number in numbers if Path(f"/proc/{number}").exists()]
