"""The machine that developer commands need: nox in its own environment, system packages.

This module imports only the standard library: noxfile.py loads it before anything is installed.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if sys.version_info < (3, 11):  # noqa: UP036 -- before anything here fails on an older one
    sys.exit(f"s3archivefs needs Python 3.11 or later; {sys.executable} is {sys.version}")

import tomllib

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parent.parent
# One folder of environments for each Python: an interpreter never meets another's packages.
ENVIRONMENTS = ROOT / ".nox" / f"{sys.version_info.major}.{sys.version_info.minor}"

# The package managers known here. CI tries only apt-get, on Debian 12.
REFRESH = {
    "apt-get": "apt-get update",
    "dnf": "dnf makecache",
    "apk": "apk update",
    "pacman": "pacman -Sy",
}
INSTALL = {
    "apt-get": "apt-get install --quiet --yes --no-install-recommends",
    "dnf": "dnf install --assumeyes",
    "apk": "apk add",
    "pacman": "pacman -S --needed --noconfirm",
}
# By need, the packages that hold it, in the managers' order above.
PACKAGES = {
    "venv": ("python3-venv", "python3", "python3", "python"),
    "mksquashfs": ("squashfs-tools",) * 4,
    "gensquashfs": ("squashfs-tools-ng",) * 4,
    "fakeroot": ("fakeroot",) * 4,
    "jq": ("jq",) * 4,
    "cc": ("gcc libc6-dev", "gcc glibc-devel", "gcc musl-dev", "gcc"),
    "Python.h": ("python3-dev", "python3-devel", "python3-dev", "python"),
    "lzo/lzo1x.h": ("liblzo2-dev", "lzo-devel", "lzo-dev", "lzo"),
    "systemd-analyze": ("systemd",) * 4,
    "fusermount3": ("fuse3",) * 4,
    "squashfuse_ll": ("squashfuse",) * 4,
    "wrk": ("wrk",) * 4,
    "curl": ("curl",) * 4,
    "restic": ("restic",) * 4,
    "npm": ("npm", "nodejs-npm", "npm", "npm"),
    "nginx": ("nginx-light", "nginx", "nginx", "nginx"),
    "chromium": ("chromium",) * 4,
    "java": (
        "default-jre-headless",
        "java-21-openjdk-headless",
        "openjdk21-jre-headless",
        "jre21-openjdk-headless",
    ),
    "mandoc": ("mandoc",) * 4,
    "zsh": ("zsh",) * 4,
    "fish": ("fish",) * 4,
    "tcsh": ("tcsh",) * 4,
    "radosgw": (
        "ceph-mon ceph-osd radosgw",
        "ceph-mon ceph-osd ceph-radosgw",
        "ceph19-mon ceph19-osd ceph19-radosgw",
        "ceph",
    ),
}


class MissingPackagesError(Exception):
    """System packages are missing; the message names the command that installs them."""


def run_nox(arguments: Sequence[str]) -> NoReturn:
    """Replace this process by nox, in a private environment made on first use."""
    environment = ENVIRONMENTS / "nox"
    python = environment / "bin" / "python"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted: list[str] = project["dependency-groups"]["nox"]
    stamp = environment / "requirements.txt"
    if not (python.exists() and stamp.exists() and stamp.read_text().splitlines() == wanted):
        try:
            require("venv")
        except MissingPackagesError as error:
            sys.exit(str(error))
        print(f"Installing {' '.join(wanted)} in {environment}", flush=True)
        create = [sys.executable, "-m", "venv", "--clear", str(environment)]
        install = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        for command in (create, [*install, *wanted]):
            if subprocess.run(command, check=False).returncode != 0:
                sys.exit(f"{shlex.join(command)} failed: its message is above")
        stamp.write_text("\n".join(wanted))
    os.execv(python, [str(python), "-m", "nox", "--noxfile", str(ROOT / "noxfile.py"), *arguments])


def require(*needs: str) -> None:
    """Install the system packages that hold `needs`, keys of PACKAGES, unless present.

    Sessions that run in parallel take turns. Raises MissingPackagesError if this process lacks the
    rights, or the installation fails.
    """
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENTS / "system-packages.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [need for need in needs if not _present(need)]
        if missing:
            _install(missing)


def _install(missing: Sequence[str]) -> None:
    manager = next((name for name in INSTALL if shutil.which(name)), None)
    if manager is None:
        message = f"Install these with the system's package manager, then try again: {missing}"
        raise MissingPackagesError(message)
    if os.geteuid() == 0:
        prefix = []
    elif shutil.which("sudo") and _succeeds("sudo", "-n", "true"):
        prefix = ["sudo", "-n"]
    else:
        # Everything that any session needs, so that one command is enough.
        everything = [need for need in PACKAGES if not _present(need)]
        raise MissingPackagesError(_instruction(manager, everything))
    print(f"Installing system packages for: {' '.join(missing)}", flush=True)
    prefix += ["env", "DEBIAN_FRONTEND=noninteractive"]
    install = [*prefix, *INSTALL[manager].split(), *_packages(manager, missing)]
    # A fresh machine has no package lists; those of an old one may be outdated.
    listed = manager != "apt-get" or _succeeds(*install, "--dry-run")
    if not (listed and subprocess.run(install, check=False).returncode == 0):
        subprocess.run([*prefix, *REFRESH[manager].split()], check=False)
        if subprocess.run(install, check=False).returncode != 0:
            raise MissingPackagesError(_instruction(manager, missing))


def _present(need: str) -> bool:
    """Return whether `need` is present, wherever it came from."""
    if need == "venv":
        return find_spec("ensurepip") is not None  # Debian packages it separately, with venv
    if need == "fakeroot" and os.geteuid() == 0:
        return True  # images of tests are root's in any case
    if need == "cc":
        return _compiles("stdio.h")
    if need.endswith(".h"):
        return _compiles(need)
    if need == "nginx":
        return shutil.which(need, path=f"{os.environ['PATH']}:/usr/sbin") is not None
    return shutil.which(need) is not None


def _compiles(header: str) -> bool:
    """Return whether the C compiler for Python extensions finds `header`."""
    include = sysconfig.get_path("include")
    options = ["-fsyntax-only", "-I", include, "-include", header, "-x", "c", os.devnull]
    return shutil.which("cc") is not None and _succeeds("cc", *options)


def _succeeds(*command: str) -> bool:
    quiet = subprocess.DEVNULL
    return subprocess.run(command, stdout=quiet, stderr=quiet, check=False).returncode == 0


def _packages(manager: str, needs: Sequence[str]) -> list[str]:
    column = list(INSTALL).index(manager)
    return " ".join(PACKAGES[need][column] for need in needs).split()


def _instruction(manager: str, needs: Sequence[str]) -> str:
    packages = shlex.join(_packages(manager, needs))
    command = f"{REFRESH[manager]} && {INSTALL[manager]} {packages}"
    return f"System packages are missing. Run this as root:\n    {command}\nThen try again."
