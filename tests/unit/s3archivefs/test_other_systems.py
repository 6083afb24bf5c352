"""The reader where the system lacks what only POSIX has, as Windows does.

mypy judges the calls, by what each system has (`nox -s typing`); here are the imports, and reading.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tests.support.command_line import run
from tests.support.laws.import_graph import ROOT

IMAGE = str(ROOT / "fixtures" / "gzip.sqfs")
SPECIAL = str(ROOT / "fixtures" / "special.sqfs")
COMMANDS = (
    ["ls", "-lR", IMAGE, "/"],
    ["ls", "-l", SPECIAL, "/"],
    ["find", IMAGE],
    ["tree", IMAGE],
    ["cat", IMAGE, "/docs/guide.txt"],
    ["hash", IMAGE],
    ["verify", IMAGE],
    ["du", IMAGE],
    ["info", IMAGE],
    ["stat", SPECIAL, "/block", "/char-large-minor"],
    ["--help"],
)
POSIX_MODULES = ("_posixsubprocess", "fcntl", "grp", "pty", "pwd", "resource", "syslog", "termios")
POSIX_NAMES = {
    "os": (
        *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_PATH", "O_TMPFILE"),
        *("RWF_NOWAIT", "chown", "fchmod", "fchown", "fork", "getegid", "geteuid", "getgid"),
        *("getuid", "getxattr", "lchown", "listxattr", "major", "makedev", "minor", "mkfifo"),
        *("mknod", "pread", "preadv", "pwrite", "register_at_fork", "sched_getaffinity"),
        *("setsid", "setxattr", "statvfs", "sysconf", "writev"),
    ),
    "signal": ("SIGHUP", "SIGPIPE", "SIGUSR1", "SIGUSR2", "pthread_sigmask"),
    "socket": ("AF_UNIX", "recv_fds"),
    "select": ("epoll", "poll"),
}
PROGRAM = f"""
import importlib, io, json, sys
import construct  # with pdb, by which Python 3.14's asks for what it is built with here
for module, names in {POSIX_NAMES!r}.items():
    for name in names:
        vars(importlib.import_module(module)).pop(name)
sys.modules.update(dict.fromkeys({POSIX_MODULES!r}))  # so their import fails
import s3archivefs
from s3archivefs import *
import s3archivefs_lambda.archives.targets, s3archivefs_lambda.archives.url
from tests.support.command_line import run

with s3archivefs.open({IMAGE!r}) as fs:
    assert fs.device.pread(0, 4) == b"hsqs", "under a lock"
    walked = {{path: file.read().hex() for path, _, file in fs.walk_files("/")}}
    with fs.open(min(walked)) as file, io.open({IMAGE!r}, "rb") as source:
        assert s3archivefs.is_squashfs(source)
answers = []
for arguments in {COMMANDS!r}:
    try:
        answers.append(run(*arguments).text)
    except SystemExit as end:
        answers.append(end.code)
sys.__stdout__.write(json.dumps([walked, answers]))
"""


def test_an_image_is_read_without_anything_of_posix() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    walked, answers = json.loads(done.stdout)
    assert walked
    for arguments, answer in zip(COMMANDS, answers, strict=True):
        assert answer == (0 if arguments == ["--help"] else run(*arguments).text), arguments
