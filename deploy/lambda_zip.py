"""Build the function's zip for AWS Lambda, from wheels for Lambda's systems.

    python -m deploy.lambda_zip --arch arm64 --python 3.13

`--layer` makes a layer of the same packages, `--endpoint` the zip of the HTTP endpoint. The same
sources and wheels give the same bytes. The running environment needs hatchling, and a registry of
Python packages, or the wheels that `--download DIR` has fetched:

    PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR python -m deploy.lambda_zip ...
"""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from stat import S_IFREG
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ARCHITECTURES", "PYTHONS", "Build", "BuildError", "Built", "Part", "build", "download"]

ROOT = Path(__file__).resolve().parent.parent
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Lambda's names of architectures, and the names of Linux and of wheels."""
PYTHONS = {"3.11": 26, "3.12": 34, "3.13": 34, "3.14": 34}
"""Lambda's runtimes, each with its glibc 2.x: that of Amazon Linux 2, then of 2023."""
THIS_ARCHITECTURE = next(
    (n for n, wheels in ARCHITECTURES.items() if wheels == platform.machine()), ""
)
THIS_PYTHON = "{}.{}".format(*sys.version_info)

_CODECS = ("fast", "lz4", "lzo-wheels", "zstd")
_RUN = "run.sh"
_UNNEEDED = (
    "bin",  # commands, which name this machine's Python
    "*.pyi",
    "zstandard/*cffi*",  # its second backend, 12 MB; CPython does not load it
    # The rest of *.dist-info stays: licences must come with what they license, METADATA names the
    # version, and entry_points.txt names `s3archivefs serve`.
    "*.dist-info/RECORD",
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/direct_url.json",
    "boto3/examples",
)
_SERVICES = ("s3", "sts")
"""The services that are used, of some 400 that botocore describes: sts lends credentials."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # that a zip can hold; real times would differ each time


class BuildError(Exception):
    """The zip cannot be built; the message is one line: why, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """What to build."""

    arch: str = THIS_ARCHITECTURE
    """One of ARCHITECTURES."""
    python: str = THIS_PYTHON
    """One of PYTHONS."""
    kind: str = "lambda"
    """`lambda`, the function; `layer`, the same under python/; or `endpoint`."""
    with_boto3: bool = False
    """Whether the zip holds boto3; Lambda's runtimes have a version of their own."""
    with_bytecode: bool = True

    @property
    def name(self) -> str:
        """The file's name."""
        return f"s3archivefs-{self.kind}-{self.arch}-python{self.python}.zip"

    @property
    def extras(self) -> str:
        """The project's extras that the zip holds, separated by commas."""
        endpoint = ["endpoint"] if self.kind == "endpoint" else []
        boto3 = ["lambda"] if self.with_boto3 else []
        return ",".join([*_CODECS, *endpoint, *boto3])

    @property
    def pip_options(self) -> list[str]:
        """The options with which pip takes only wheels for that Python and system."""
        arch, glibc = ARCHITECTURES[self.arch], PYTHONS[self.python]
        options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={self.python}"]
        # pip compares platforms by name only, so older ones must be named too. 2.17 is the oldest
        # for which there are wheels of both architectures; manylinux2014 is its other name.
        tags = [f"manylinux_2_{minor}" for minor in range(glibc, 16, -1)] + ["manylinux2014"]
        return options + [f"--platform={tag}_{arch}" for tag in tags]


class Part(NamedTuple):
    """A package in the zip, and its size in bytes, zipped and unzipped."""

    package: str
    zipped: int
    unzipped: int


class Built(NamedTuple):
    """A zip that was built."""

    path: Path
    parts: list[Part]
    """Its packages, the largest first."""
    compiled_by: str | None
    """The Python that compiled the bytecode; None without bytecode."""


# ---- Building ------------------------------------------------------------------------------------


def build(wanted: Build, directory: Path) -> Built:
    """Write the zip into `directory`.

    Raises BuildError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        packages = Path(scratch, "packages")
        wheel = _wheel(Path(scratch))
        _pip("install", "--no-compile", "--target", str(packages), wheel=wheel, wanted=wanted)
        owners = _owners(packages)
        _strip(packages)
        if wanted.kind == "endpoint":
            shutil.copy(Path(__file__).with_name(_RUN), packages)
        top = "python/" if wanted.kind == "layer" else ""
        python = interpreter(wanted.python) if wanted.with_bytecode else None
        if python:
            _compile(packages, python, seen_at="/opt/python" if top else "/var/task")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / wanted.name
        parts = _write(path, packages, top, owners)
    return Built(path, parts, python)


def download(wanted: Build, directory: Path) -> None:
    """Fetch the wheels of other projects that the zip holds into `directory`.

    Raises BuildError.
    """
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _wheel(Path(scratch))
        _pip("download", "--dest", str(directory), wheel=wheel, wanted=wanted)
        (directory / wheel.name).unlink()  # the next change would outdate it


def _wheel(directory: Path) -> Path:
    """Build the project's own wheel, with the hatchling that is installed here."""
    command = ("hatchling", "build", "--target", "wheel", "--directory", str(directory))
    done = _run(sys.executable, "-m", *command, cwd=ROOT)
    if done.returncode != 0:
        raise BuildError(f"the project's wheel cannot be built: {_last_line(done)}")
    return next(directory.glob("*.whl"))


def _pip(*command: str, wheel: Path, wanted: Build) -> None:
    # pip evaluates markers such as `python_version < "3.12"` for the Python that it runs under.
    options = ["--quiet", "--no-input", "--disable-pip-version-check", *wanted.pip_options]
    done = _run(sys.executable, "-m", "pip", *command, *options, f"{wheel}[{wanted.extras}]")
    if done.returncode == 0:
        return
    if missing := re.search(r"No matching distribution found for (\S+)", done.stderr):
        raise BuildError(
            f"{missing[1]}: there is no wheel for Python {wanted.python} on {wanted.arch} with "
            f"glibc 2.{PYTHONS[wanted.python]}: choose another --python or --arch, or build that "
            "wheel yourself and name its folder in PIP_FIND_LINKS"
        )
    raise BuildError(f"pip {command[0]} failed: {_last_line(done)}")


def _run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = f"{done.stdout}\n{done.stderr}".strip().splitlines()
    return lines[-1] if lines else f"status {done.returncode}"


# ---- What goes in --------------------------------------------------------------------------------


def _owners(packages: Path) -> dict[str, str]:
    """Return the package of each file, with its version."""
    return {
        str(file): f"{found.name} {found.version}"
        for found in importlib.metadata.distributions(path=[str(packages)])
        for file in found.files or ()
    }


def _strip(packages: Path) -> None:
    services = {*packages.glob("botocore/data/*/"), *packages.glob("boto3/data/*/")}
    unneeded = {path for path in services if path.is_dir() and path.name not in _SERVICES}
    for pattern in _UNNEEDED:
        unneeded |= set(packages.rglob(pattern) if pattern == "*.pyi" else packages.glob(pattern))
    for path in unneeded:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def interpreter(version: str) -> str | None:
    """Find a CPython of that version: Lambda's takes bytecode of no other.

    Return None if there is none.
    """
    for candidate in (sys.executable, shutil.which(f"python{version}")):
        if candidate is None:
            continue
        # A program on PATH may be a shim for a Python that is not installed.
        program = "import sys; print(sys.implementation.cache_tag, sys.version_info.releaselevel)"
        done = _run(candidate, "-I", "-c", program)
        if done.stdout.split() == [f"cpython-{version.replace('.', '')}", "final"]:
            return candidate
    return None


def _compile(packages: Path, python: str, *, seen_at: str) -> None:
    # Python is to check the bytecode against neither time, which the zip lacks, nor source.
    mode = ("--invalidation-mode", "unchecked-hash")
    paths = ("-s", str(packages), "-p", seen_at)  # as tracebacks show them
    done = _run(python, "-I", "-m", "compileall", "-q", *mode, *paths, str(packages))
    if done.returncode != 0:
        raise BuildError(f"{python} cannot compile the packages: {_last_line(done)}")


# ---- The zip -------------------------------------------------------------------------------------


def _write(path: Path, packages: Path, top: str, owners: Mapping[str, str]) -> list[Part]:
    sizes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(_files(packages)):
            entry = zipfile.ZipInfo(top + name, _EARLIEST)
            entry.create_system = 3  # Unix, whose permissions Lambda keeps
            entry.external_attr = (S_IFREG | (0o755 if name == _RUN else 0o644)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (packages / name).read_bytes())
            size = sizes[owners.get(_source(name), name)]
            size[0] += entry.compress_size
            size[1] += entry.file_size
    return sorted((Part(package, *size) for package, size in sizes.items()), key=_by_size)


def _files(packages: Path) -> Iterator[str]:
    for path in packages.rglob("*"):
        if path.is_file():
            yield path.relative_to(packages).as_posix()


def _source(name: str) -> str:
    """Return the module whose bytecode a file is; any other file stands for itself."""
    path = PurePosixPath(name)
    if path.parent.name != "__pycache__":
        return name
    return str(path.parent.parent / f"{path.name.partition('.')[0]}.py")


def _by_size(part: Part) -> int:
    return -part.zipped


# ---- The command ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, or download wheels; return the exit code."""
    options = _parser().parse_args(arguments)
    wanted = Build(
        arch=options.arch,
        python=options.python,
        kind=options.kind,
        with_boto3=options.with_boto3,
        with_bytecode=options.with_bytecode,
    )
    try:
        if options.download:
            download(wanted, options.download)
        else:
            _report(build(wanted, options.directory), wanted)
    except BuildError as error:
        sys.stderr.write(f"lambda_zip: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lambda_zip", description="Build a zip for AWS Lambda, with all six codecs."
    )
    for name, choices, here in (
        ("arch", ARCHITECTURES, THIS_ARCHITECTURE),
        ("python", PYTHONS, THIS_PYTHON),
    ):
        known = here in choices
        parser.add_argument(
            f"--{name}",
            choices=choices,
            default=here,
            required=not known,
            help="the function's; by default, this machine's",
        )
    kind = parser.add_mutually_exclusive_group()
    for name, meaning in (
        ("layer", "a layer of the packages, for functions of your own"),
        ("endpoint", f"the HTTP endpoint, and {_RUN}, which starts it"),
    ):
        kind.add_argument(f"--{name}", dest="kind", action="store_const", const=name, help=meaning)
    parser.set_defaults(kind="lambda")
    parser.add_argument(
        "--with-boto3", action="store_true", help="to use instead of that of Lambda's runtime"
    )
    parser.add_argument(
        "--without-bytecode", dest="with_bytecode", action="store_false", help="sources alone"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=ROOT / "dist",
        help="the folder for the zip; by default dist/",
    )
    parser.add_argument(
        "--download",
        type=Path,
        metavar="DIR",
        help="only fetch the wheels that the zip needs, into DIR",
    )
    return parser


def _report(built: Built, wanted: Build) -> None:
    zipped, unzipped = built.path.stat().st_size, sum(part.unzipped for part in built.parts)
    lines = [
        str(built.path),
        f"{_mb(zipped)} zipped, {_mb(unzipped)} unzipped",
        *(f"  {_mb(part.zipped)}  {_mb(part.unzipped)}  {part.package}" for part in built.parts),
    ]
    if built.compiled_by:
        lines.append(f"bytecode compiled by {built.compiled_by}")
    elif wanted.with_bytecode:
        lines.append(
            f"without bytecode, as no python{wanted.python} is on PATH to compile it: each cold "
            "start does, which takes longer (docs/performance.md)"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def _mb(size: int) -> str:
    return f"{size / 1e6:6.2f} MB"


if __name__ == "__main__":
    sys.exit(main())
