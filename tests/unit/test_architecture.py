"""The imports that each module may have (CONTRIBUTING.md, "The two packages")."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import s3archivefs
import s3archivefs.writer
from s3archivefs.cli.table import COMMANDS
from tests.support.laws.import_graph import (
    ROOT,
    Graph,
    Import,
    belongs,
    dotted,
    imports,
    parse,
    sources,
    targets,
)

READER = "s3archivefs"
ADAPTER = "s3archivefs_lambda"

# The reader, bottom to top: a module imports only modules that stand before it.
LAYERS = (
    "errors",
    "limits",
    "forks",
    "cached_only",
    "locks",
    "single_flight",
    "cache",
    "named_tuples",
    "names",
    "printed",
    "records",
    "format",
    "device",
    "offset_device",
    "device_reads",
    "parallel",
    "compression",
    "superblock",
    "options",
    "extents",
    "layout",
    "sources",
    "metadata",
    "tables",
    "content_place",
    "inode",
    "runs",
    "listing",
    "loading",
    "file_stats",
    "entry_stats",
    "scanning",
    "directory",
    "xattr",
    "checksums",
    "data",
    "content",
    "wanted",
    "batch",
    "batch_reads",
    "reopening",
    "raw_file",
    "file",
    "text",
    "readers",
    "verify",
    "opening",
    "resolution",
    "healing",
    "entry",
    "walking",
    "browsing",
    "nodes",
    "globbing",
    "pure_path",
    "path",
    "placing",
    "bulk",
    "unnamed_files",
    "replaceable",
    "extraction",  # a room: what makes members of an image in a directory
    "extracting",
    "image",
    "__init__",
    "writer",  # a room: images from members
    "mount",  # a room
    "dataset",  # a room: a dataset to train on, and its shuffle
    "filesystem",  # a room: the fsspec filesystem, the only one that imports fsspec
    "cli",  # a room: its subcommands import what they share, and none of each other
)
STANDALONE = {
    "errors",
    "limits",
    "forks",
    "cached_only",
    "checksums",
    "locks",
    "named_tuples",
    "records",
    "replaceable",
    "unnamed_files",
}  # these import none of the package

# The adapter's rooms, top to bottom: what a module of each may import of the adapter besides what
# is in its own. `handler` and `commands` put the rest together, and may import any.
ROOMS: dict[str, set[str] | None] = {
    "handler": None,
    "commands": None,
    "object_lambda": {"bucket", "s3api", "accounting", "request_log"},
    "endpoint": {"bucket", "s3api", "accounting", "request_log", "config"},
    "bucket": {"archives", "s3api", "store", "config"},
    "archives": {"cache", "store", "config", "accounting"},
    "cache": {"accounting"},
    "upload": {"store"},
    "store": {"accounting"},
    "s3api": set(),
    "config": set(),
    "request_log": {"accounting", "line_writer", "log_lines"},
    "accounting": set(),
    "line_writer": {"log_lines"},
    "log_lines": set(),
    "text": set(),
}
# Any room may import these.
FOR_ALL = {"text"}
# Of these rooms only the doors: what else is in them is none of the others' business.
DOORS = {
    ("object_lambda", "bucket"): {"bucket.operations"},
    ("endpoint", "bucket"): {"bucket.operations", "bucket.faults"},
    ("endpoint", "config"): {"config.location", "config.prefix_map"},
    ("bucket", "archives"): {
        "archives.archives",
        "archives.open_ahead",
        "archives.store_objects",
    },
    ("bucket", "config"): {"config.location", "config.prefix_map"},
    ("bucket", "store"): {"store.errors"},
    ("upload", "store"): {"store.device", "store.errors", "store.superblock_metadata"},
}
# What each room may import besides the standard library, and of that what reaches the network. A
# room that is not named may import none of it.
LIBRARIES: dict[str, set[str] | None] = {
    "handler": None,
    "commands": None,
    "object_lambda": {"types_boto3_s3"},
    "endpoint": {"asyncio", "http", "prometheus_client", "socket", "ssl"},
    "bucket": {READER},
    "archives": {READER, "types_boto3_s3"},
    "cache": {READER, "deflate"},  # deflate: checksums of chunks
    "upload": {READER, "types_boto3_s3"},
    "store": {READER, "botocore", "types_boto3_s3", "urllib3"},
    "config": {READER},
    "accounting": {READER},
    "line_writer": {READER},
}
# Modules of the reader's command that packages which add subcommands may use.
FOR_SUBCOMMANDS = {f"{READER}.cli.{module}" for module in ("arguments", "interruption", "progress")}

LINES_MAX = 350  # of a module
LONGER = {
    # The whole on-disk format on one page: constants and declarations, no code.
    "s3archivefs/format.py",
}

NETWORK = {
    "aiohttp",
    "asyncio",
    "boto3",
    "botocore",
    "ftplib",
    "http",
    "requests",
    "socket",
    "socketserver",
    "ssl",
    "urllib.request",
    "urllib3",
}
# What takes long to import: the reader does so when it needs it.
ON_FIRST_USE = {
    "s3archivefs.extraction.errors",
    "s3archivefs.extraction.filters",
    "s3archivefs.extraction.manner",
    "s3archivefs.limits",
    "s3archivefs.path",
    "s3archivefs.verify",
}
SLOW = ON_FIRST_USE | {
    "argparse",
    "ast",
    "concurrent",
    "construct",
    "dataclasses",
    "fsspec",
    "importlib.metadata",
    "inspect",
    "logging",
    "lzma",
    "pathlib",
    "pickle",
    "tempfile",
    "urllib",
}
CODECS = {
    "backports",
    "bz2",
    "compression",
    "deflate",
    "isal",
    "lz4",
    "lzallright",
    "lzma",
    "lzo",
    "zlib",
    "zlib_ng",
    "zstandard",
}
# What decodes blocks, what encodes them, and what reads other archives.
CODEC_MODULES = {
    "compression.py",
    "writer/compressors.py",
    "writer/inputs/decompressed.py",
    "writer/inputs/zip.py",
}
STANDARD_CODECS = {"zlib"}  # always there and loaded in microseconds: no need to wait
FILE_OPENERS = {
    "codecs.open",
    "io.FileIO",
    "io.open",
    "io.open_code",
    "mmap.mmap",
    "open",
    "os.fdopen",
    "os.open",
}


def where(path: Path, found: Import) -> str:
    return f"{path.relative_to(ROOT)}:{found.line} imports {found.module}"


def offending(package: str, forbidden: set[str], *, except_in: str = "") -> list[str]:
    return [
        where(path, found)
        for path in sources(package)
        if path.stem != except_in
        for found in imports(parse(path))
        if any(belongs(target, forbidden) for target in targets(found))
    ]


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(ROOT))
        for package in (READER, ADAPTER)
        for path in sources(package)
        if len(path.read_text(encoding="utf-8").splitlines()) > LINES_MAX
    }
    assert long == LONGER


@pytest.mark.parametrize("package", [READER, ADAPTER])
def test_imports_are_absolute(package: str) -> None:
    relative = [
        where(path, found)
        for path in sources(package)
        for found in imports(parse(path))
        if found.module.startswith(".")
    ]
    assert relative == []


def test_the_reader_never_imports_the_adapter_or_the_network() -> None:
    assert offending(READER, {ADAPTER}) == []
    # fusermount3 sends the descriptor of /dev/fuse through a Unix socket.
    assert offending(READER, NETWORK, except_in="mounting") == []


def test_only_records_imports_construct() -> None:
    assert offending(READER, {"construct"}, except_in="records") == []
    assert offending(ADAPTER, {"construct"}) == []


def test_only_a_few_modules_import_codecs() -> None:
    importing = {
        str(path.relative_to(ROOT / READER))
        for path in sources(READER)
        for found in imports(parse(path))
        if any(belongs(target, CODECS) for target in targets(found))
    }
    assert importing == CODEC_MODULES


def test_codecs_that_are_installed_as_extras_load_on_first_use() -> None:
    early = [
        found.module
        for found in imports(parse(ROOT / READER / "compression.py"))
        if found.at_import_time
        and any(belongs(target, CODECS - STANDARD_CODECS) for target in targets(found))
    ]
    assert early == []


def test_only_the_filesystem_imports_fsspec() -> None:
    importing = {
        layer(path)
        for path in sources(READER)
        for found in imports(parse(path))
        if any(belongs(target, {"fsspec"}) for target in targets(found))
    }
    assert importing == {"filesystem"}
    assert offending(ADAPTER, {"fsspec"}) == []


def layer(path: Path) -> str:
    """Return the layer of a module of the reader: its name, or that of its room."""
    return path.relative_to(ROOT / READER).with_suffix("").parts[0]


def test_every_module_of_the_reader_has_its_layer() -> None:
    assert {layer(path) for path in sources(READER)} <= set(LAYERS)


def test_modules_of_the_reader_import_only_the_layers_below() -> None:
    upward = []
    for path in sources(READER):
        at = LAYERS.index(layer(path))
        below = set() if layer(path) in STANDALONE else set(LAYERS[:at])
        if path.parent != ROOT / READER:
            below.add(layer(path))  # within a room, any module may import another
        for found in imports(parse(path)):
            if (
                found.module == READER
            ):  # "from s3archivefs import x": x is a module or a public name
                used = {name if name in LAYERS else "__init__" for name in found.names or ("",)}
            elif found.module.startswith(READER + "."):
                used = {found.module.split(".")[1]}
            else:
                continue
            if not used <= below:
                upward.append(where(path, found))
    assert upward == []


def test_subcommands_import_none_of_each_other() -> None:
    found = [
        where(path, each)
        for path in sources(f"{READER}/cli")
        for each in imports(parse(path))
        if each.module.startswith(f"{READER}.cli.") and each.module.split(".")[2] in COMMANDS
    ]
    assert found == []


def room(path: Path, checkout: Path = ROOT) -> str:
    return path.relative_to(checkout / ADAPTER).with_suffix("").parts[0]


def test_every_module_of_the_adapter_is_in_a_room() -> None:
    assert {room(path) for path in sources(ADAPTER)} == {*ROOMS, "__init__"}


def test_few_modules_of_the_adapter_lie_beside_its_rooms() -> None:
    assert len([*(ROOT / ADAPTER).glob("*.py")]) <= 7


def forbidden_in_rooms(checkout: Path) -> list[tuple[str, str]]:
    """Module of the adapter and what it imports, for each import that no table allows."""
    forbidden = []
    for path, found, modules in Graph.read(ADAPTER, checkout).found:
        inside = room(path, checkout)
        allowed, libraries = ROOMS.get(inside), LIBRARIES.get(inside, set())
        bad = set()
        for module in modules if allowed is not None else ():
            named = module.partition(".")[0]
            door = DOORS.get((inside, named), {module})
            if named not in {inside, *FOR_ALL} and (
                named not in (allowed or ()) or module not in door
            ):
                bad.add(module)
        if libraries is not None and not belongs(found.module, {ADAPTER}):
            bad |= {
                target
                for target in targets(found)
                if is_guarded(target) and not belongs(target, libraries)
            }
        forbidden += [(path.relative_to(checkout / ADAPTER).as_posix(), each) for each in bad]
    return forbidden


def is_guarded(module: str) -> bool:
    """Return whether a module is an installed one, or reaches the network."""
    return module.partition(".")[0] not in sys.stdlib_module_names or belongs(module, NETWORK)


def test_rooms_of_the_adapter_import_only_what_they_may() -> None:
    assert forbidden_in_rooms(ROOT) == []


@pytest.fixture(scope="module")
def hollow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with all modules of the adapter, each empty."""
    checkout = tmp_path_factory.mktemp("checkout")
    for path in sources(ADAPTER):
        empty = checkout / path.relative_to(ROOT)
        empty.parent.mkdir(parents=True, exist_ok=True)
        empty.touch()
    return checkout


@pytest.mark.parametrize(
    ("module", "statement", "names"),
    [
        ("cache/fetch_plan.py", "from s3archivefs_lambda import store", "store.__init__"),
        (
            "cache/fetch_plan.py",
            "from s3archivefs_lambda import accounting, store",
            "store.__init__",
        ),
        ("cache/fetch_plan.py", "import s3archivefs_lambda.store", "store.__init__"),
        ("cache/fetch_plan.py", "from s3archivefs_lambda.store import device", "store.device"),
        ("cache/fetch_plan.py", "import_module('s3archivefs_lambda.store.body')", "store.body"),
        ("cache/fetch_plan.py", "import s3archivefs_lambda", "__init__"),
        ("s3api/ranges.py", "import s3archivefs", "s3archivefs"),
        ("s3api/ranges.py", "import botocore.session", "botocore.session"),
        ("s3api/ranges.py", "import socket", "socket"),
        ("bucket/listing.py", "import urllib.request", "urllib.request"),
        ("bucket/listing.py", "from s3archivefs_lambda.archives.s3 import x", "archives.s3"),
        ("bucket/faults.py", "from s3archivefs_lambda.store.client import x", "store.client"),
        (
            "endpoint/archive_lanes.py",
            "from s3archivefs_lambda.config.settings import x",
            "config.settings",
        ),
        ("store/device.py", "from s3archivefs_lambda.cache.disk import x", "cache.disk"),
    ],
)
def test_an_import_that_a_room_may_not_have_is_found(
    hollow: Path, module: str, statement: str, names: str
) -> None:
    changed = hollow / ADAPTER / module
    assert changed.exists()
    changed.write_text(statement, encoding="utf-8")
    found = forbidden_in_rooms(hollow)
    changed.write_text("", encoding="utf-8")
    assert (module, names) in found
    assert {path for path, _ in found} == {module}


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("cache/fetch_plan.py", "from s3archivefs_lambda import accounting"),
        ("cache/fetch_plan.py", "import s3archivefs, json"),
        ("cache/fetch_plan.py", "from s3archivefs_lambda.cache import disk"),
        ("bucket/listing.py", "from s3archivefs_lambda.archives.archives import x"),
        ("store/client.py", "from botocore import session"),
    ],
)
def test_an_import_that_a_room_may_have_is_not(hollow: Path, module: str, statement: str) -> None:
    (hollow / ADAPTER / module).write_text(statement, encoding="utf-8")
    found = forbidden_in_rooms(hollow)
    (hollow / ADAPTER / module).write_text("", encoding="utf-8")
    assert found == []


def test_nothing_of_the_adapter_imports_in_a_circle() -> None:
    assert Graph.read(ADAPTER).longest_path()  # raises CycleError


def test_rooms_have_nothing_at_their_doors() -> None:
    full = [path for path in sources(ADAPTER) if path.stem == "__init__" and room(path) in ROOMS]
    assert len(full) > 5
    assert [path for path in full if path.read_text(encoding="utf-8")] == []


# Extraction and the writer open what they make, mounting files of the system, a dataset its list.
OPENING = {"device", "unnamed_files", "extraction", "writer", "mount", "dataset"}


def test_only_a_few_rooms_open_files() -> None:
    openers = []
    for path in sources(READER):
        if layer(path) in OPENING:
            continue
        tree = parse(path)
        own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        openers += [
            f"{path.relative_to(ROOT)}:{node.lineno} calls {dotted(node.func)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and dotted(node.func) in FILE_OPENERS - own
        ]
        openers += [
            where(path, found)
            for found in imports(tree)
            if any(
                belongs(target, FILE_OPENERS | {"mmap", "tempfile"}) for target in targets(found)
            )
        ]
    assert openers == []


# Held only by threads of the server, which no signal interrupts: its room knows nothing of images.
OTHER_LOCKS = {"s3archivefs_lambda/endpoint/meter.py"}


def test_locks_are_those_that_an_interruption_leaves_as_they_were() -> None:
    unsafe = {"threading.Lock", "threading.RLock"}
    makers = {
        str(path.relative_to(ROOT))
        for package in (READER, ADAPTER)
        for path in sources(package)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.Call)
        and (
            dotted(node.func) in unsafe
            or (dotted(node.func) == "threading.Condition" and not node.args)
        )
    }
    from_threading = [
        where(path, found)
        for package in (READER, ADAPTER)
        for path in sources(package)
        for found in imports(parse(path))
        if found.module == "threading" and {"Condition", "Lock", "RLock"} & {*found.names}
    ]
    assert (makers, from_threading) == (OTHER_LOCKS, [])


# Calls that take a path, and by which keyword it is relative to an open directory. Of the others
# that take one, extraction uses none.
RELATIVE = {
    **dict.fromkeys(
        ("chown", "mkdir", "mknod", "open", "stat", "symlink", "unlink", "utime"), "dir_fd"
    ),
    **dict.fromkeys(("link", "rename"), "dst_dir_fd"),
}
WITHOUT_PATH = {
    *("close", "dup", "fchmod", "fsdecode", "fsencode", "fstat", "ftruncate", "geteuid", "lseek"),
    *("strerror", "urandom", "write"),
}
WITH_A_PATH = {
    # The target, as the caller gave it.
    "folders.py: os.makedirs(target)",
    "folders.py: os.open(target, _OPEN)",
    # What is open already: /proc/self/fd.
    "attributes.py: os.chmod(f'{PROC_HANDLES}/{place}', mode)",
    "attributes.py: os.chown(handle, wanted.uid, wanted.gid)",
    "attributes.py: os.setxattr(place, name, value, follow_symlinks=follow_symlinks)",
    "attributes.py: os.utime(handle, (wanted.mtime, wanted.mtime))",
    # Likewise, and the directory of a new image, as the caller gave it.
    "unnamed_files.py: os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)",
}


def test_extraction_makes_all_relative_to_open_directories() -> None:
    others = set()
    for path in (*sources(f"{READER}/extraction"), ROOT / READER / "unnamed_files.py"):
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.Call) or not dotted(node.func).startswith("os."):
                continue
            name = dotted(node.func).removeprefix("os.")
            keywords = {each.arg for each in node.keywords}
            if name not in WITHOUT_PATH and RELATIVE.get(name) not in keywords:
                others.add(f"{path.name}: {ast.unparse(node)}")
    assert others == WITH_A_PATH


def test_the_adapter_uses_only_public_names_of_the_reader() -> None:
    public = set(s3archivefs.__all__)
    writer = set(s3archivefs.writer.__all__)
    private = []
    for path in sources(ADAPTER):
        tree = parse(path)
        private += [
            where(path, found)
            for found in imports(tree)
            if (
                found.module.startswith(READER + ".")
                and not (room(path) == "commands" and found.module in FOR_SUBCOMMANDS)
                and not (found.module == f"{READER}.writer" and set(found.names) <= writer)
            )
            or (found.module == READER and not set(found.names) <= public)
        ]
        private += [
            f"{path.relative_to(ROOT)}:{node.lineno} uses {dotted(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and dotted(node.value) == READER
            and node.attr not in public
        ]
    assert private == []


PRIVATE = re.compile(r"(?:.*\.)?_[a-z]\w*", re.IGNORECASE)
# Imported, or within quotes: few modules have any, and the others need no parsing.
HAS_PRIVATE = re.compile(r"""(?:import\s+(?:\([^)]*|[^\n]*)|["'][^"'\n]*)\b_[a-z]""", re.IGNORECASE)


def private_reaches(tree: ast.Module) -> list[str]:
    """Return the private names that a module imports, or patches; ruff's SLF001 has the others."""
    names = [name for found in imports(tree) for name in found.names]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and dotted(node.func).endswith("setattr"):
            names += [
                each.value
                for each in node.args[:2]
                if isinstance(each, ast.Constant) and isinstance(each.value, str)
            ]
    return [name for name in names if PRIVATE.fullmatch(name)]


def test_tests_import_and_patch_public_names_alone() -> None:
    reaches = {
        str(path.relative_to(ROOT)): found
        for package in ("tests", "benchmarks", "deploy")
        for path in sources(package)
        if HAS_PRIVATE.search(path.read_text("utf-8")) and (found := private_reaches(parse(path)))
    }
    assert reaches == {}


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("from s3archivefs.cache import _weight", ["_weight"]),
        ("patch.setattr(eviction, '_PATIENCE_SECONDS', 0)", ["_PATIENCE_SECONDS"]),
        ("patch.setattr('s3archivefs.cli._PIECE', 0)", ["s3archivefs.cli._PIECE"]),
        ("patch.setattr(os, 'open', full)", []),
        ("from s3archivefs.cache import WeightedCache", []),
    ],
)
def test_a_private_name_that_a_test_reaches_for_is_found(statement: str, found: list[str]) -> None:
    assert private_reaches(ast.parse(statement)) == found
    assert not found or HAS_PRIVATE.search(statement)


def test_every_public_name_of_the_reader_exists() -> None:
    assert [name for name in s3archivefs.__all__ if not hasattr(s3archivefs, name)] == []


def loaded_by(program: str) -> set[str]:
    """Return the modules that a program of its own loads."""
    # Without PYTHON* variables: nothing but the program itself can load them.
    program = (
        f"import json, sys; before = set(sys.modules); {program};"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_the_reader_loads_no_network_module() -> None:
    loaded = loaded_by("import s3archivefs")
    assert READER in loaded
    assert [name for name in loaded if belongs(name, NETWORK | {ADAPTER})] == []


def test_importing_the_reader_loads_nothing_that_can_wait() -> None:
    loaded = loaded_by("import s3archivefs")
    assert [name for name in sorted(loaded) if belongs(name, SLOW)] == []


def test_opening_an_image_loads_construct_which_parses_its_superblock() -> None:
    image = str(ROOT / "fixtures" / "gzip.sqfs")
    opening = f"import s3archivefs; s3archivefs.open({image!r}).close()"
    loaded = loaded_by(opening)
    assert "construct" in loaded
    assert "pathlib" not in loaded - loaded_by("import construct")  # which itself has it since 3.15


def test_public_names_are_there_before_their_modules_are() -> None:
    loaded = loaded_by("import s3archivefs; assert set(s3archivefs.__all__) <= {*dir(s3archivefs)}")
    assert loaded.isdisjoint(ON_FIRST_USE)
    assert loaded_by("from s3archivefs import *") >= ON_FIRST_USE


def test_reader_has_no_other_names() -> None:
    with pytest.raises(AttributeError, match="module 's3archivefs' has no attribute 'Paths'"):
        s3archivefs.Paths  # type: ignore[attr-defined]  # noqa: B018 -- that is what is tested
