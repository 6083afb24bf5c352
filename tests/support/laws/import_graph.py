"""Who imports whom in a package, read from its source.

    python -m tests.support.laws.import_graph [CHECKOUT] [--package s3archivefs] [--mermaid]

The source is parsed and never run, so any checkout will do. A room is a sub-package, or a module
that lies beside them. A module's dotted name leaves out the package: `cache.disk`.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

__all__ = ["Graph", "Import", "belongs", "dotted", "imports", "parse", "sources", "targets"]

ROOT = Path(__file__).resolve().parents[3]


class Import(NamedTuple):
    """One import statement, or one call of `import_module` with a literal name."""

    module: str  # dotted, absolute
    names: tuple[str, ...]  # of "from module import names"; empty for "import module"
    line: int
    at_import_time: bool  # neither inside a function nor under TYPE_CHECKING


def sources(package: str, checkout: Path = ROOT) -> list[Path]:
    """Return the modules of a package, in the order of their paths."""
    return sorted((checkout / package).rglob("*.py"))


def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return _parsed(path.read_text(encoding="utf-8"), str(path))


@cache
def _parsed(source: str, name: str) -> ast.Module:
    return ast.parse(source, name)


@cache
def imports(tree: ast.Module) -> tuple[Import, ...]:
    """Return every import of a module, those inside its functions included."""
    found: list[Import] = []
    pending: list[tuple[ast.AST, bool]] = [(tree, True)]
    while pending:
        node, at_import_time = pending.pop()
        if isinstance(node, ast.Import):
            found += [Import(name.name, (), node.lineno, at_import_time) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(name.name for name in node.names)
            found.append(
                Import("." * node.level + (node.module or ""), names, node.lineno, at_import_time)
            )
        elif isinstance(node, ast.Call) and dotted(node.func).endswith("import_module"):
            found += [
                Import(argument.value, (), node.lineno, at_import_time)
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            ]
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.If) and dotted(node.test).endswith("TYPE_CHECKING"):
            later = True
        pending += [(child, at_import_time and not later) for child in ast.iter_child_nodes(node)]
    return tuple(found)


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for that expression, "" for any other."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def belongs(module: str, roots: set[str]) -> bool:
    """Return whether a module is one of `roots` or lies below one."""
    return any(module == root or module.startswith(root + ".") for root in roots)


def targets(found: Import) -> list[str]:
    """Return the modules that an import may load: `from urllib import request` loads two."""
    return [found.module, *(f"{found.module}.{name}" for name in found.names)]


@dataclass(frozen=True, slots=True)
class Graph:
    """The modules of one package and the arrows between them."""

    lines: dict[str, int]
    """Lines of each module."""
    found: list[tuple[Path, Import, set[str]]]
    """Each import, with its file and the modules of the package that it names."""
    arrows: dict[str, set[str]]
    """By module, the other modules that it imports, whenever that is."""
    early: dict[str, set[str]]
    """By module, those of them that load together with it."""

    @classmethod
    def read(cls, package: str, checkout: Path = ROOT) -> Graph:
        """Return the graph of a package in a checkout."""
        names = {path: _name(path, package, checkout) for path in sources(package, checkout)}
        known = set(names.values())
        found: list[tuple[Path, Import, set[str]]] = []
        arrows: dict[str, set[str]] = {name: set() for name in known}
        early: dict[str, set[str]] = {name: set() for name in known}
        for path, name in names.items():
            for each in imports(parse(path)):
                modules = _modules(each, package, known) - {name}
                found.append((path, each, modules))
                arrows[name] |= modules
                if each.at_import_time:
                    early[name] |= modules
        lines = {name: len(path.read_text("utf-8").splitlines()) for path, name in names.items()}
        return cls(lines, found, arrows, early)

    @property
    def modules(self) -> list[str]:
        """The modules, but for an `__init__` that imports nothing."""
        return sorted(
            name
            for name, others in self.arrows.items()
            if others or name.rpartition(".")[2] != "__init__"
        )

    @property
    def rooms(self) -> dict[str, set[str]]:
        """By room, the other rooms that its modules import."""
        arrows: dict[str, set[str]] = {room(name): set() for name in self.modules}
        for name in self.modules:
            arrows[room(name)] |= {room(other) for other in self.arrows[name]} - {room(name)}
        return dict(sorted(arrows.items()))

    def longest_path(self) -> list[str]:
        """Return the longest chain of modules that load each other. Raises CycleError."""
        chains: dict[str, list[str]] = {}
        for name in TopologicalSorter(self.early).static_order():
            below = (chains[other] for other in sorted(self.early[name]))
            chains[name] = [name, *max(below, key=len, default=[])]
        return max((chains[name] for name in sorted(chains)), key=len, default=[])


def room(module: str) -> str:
    """Return the room of a module: the first part of its dotted name."""
    return module.partition(".")[0]


def _name(path: Path, package: str, checkout: Path) -> str:
    return ".".join(path.relative_to(checkout / package).with_suffix("").parts)


def _modules(found: Import, package: str, known: set[str]) -> set[str]:
    """Return the modules of a package that an import names; a sub-package is its `__init__`."""

    def module(target: str) -> str:
        name = target.removeprefix(package).removeprefix(".")
        return name if name in known else f"{name}.__init__".removeprefix(".")

    named = {module(target) for target in targets(found) if belongs(target, {package})} & known
    below = named - {module(found.module)}  # `from package import module` is about the module
    return below or named


# ---- The drawing ---------------------------------------------------------------------------------


def report(graph: Graph) -> Iterator[str]:
    """Yield the figures of a graph, and a line for each room."""
    rooms = graph.rooms
    path = graph.longest_path()
    yield f"{len(graph.modules)} modules, {sum(graph.lines.values()):,} lines, {len(rooms)} rooms"
    yield f"{sum(map(len, rooms.values()))} arrows between rooms"
    yield f"{sum(map(len, graph.arrows.values()))} arrows between modules"
    yield f"longest path, {len(path)} modules: {' > '.join(path)}"
    yield ""
    for name, others in rooms.items():
        inside = [module for module in graph.modules if room(module) == name]
        lines = sum(graph.lines[module] for module in inside)
        yield f"{name:22}{len(inside):3} modules {lines:6,} lines  {', '.join(sorted(others))}"


def mermaid(graph: Graph) -> Iterator[str]:
    """Yield the rooms and their arrows as a diagram in Mermaid's language."""
    yield "graph TD"
    for name, others in graph.rooms.items():
        yield f"    {name}"
        yield from (f"    {name} --> {other}" for other in sorted(others))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the import graph of one package in one checkout."""
    parser = argparse.ArgumentParser(
        prog="import_graph", description="Print who imports whom in a package."
    )
    parser.add_argument("checkout", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--package", default="s3archivefs_lambda")
    parser.add_argument("--mermaid", action="store_true", help="print a diagram of the rooms")
    options = parser.parse_args(arguments)
    graph = Graph.read(options.package, options.checkout.resolve())
    for line in mermaid(graph) if options.mermaid else report(graph):
        print(line)


if __name__ == "__main__":
    main()
