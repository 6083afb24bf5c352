"""CloudFormation templates, resolved as far as the deployment's own need it.

resources = resolve(load("deploy/template.yaml"), {"Mapping1": "docs|s3://bucket/docs.sqfs"})
resources["Role"]["Properties"]["Policies"]
outputs = resolve(load("deploy/template.yaml"), {}, section="Outputs")
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

__all__ = ["ACCOUNT", "REGION", "TEMPLATES", "Tree", "load", "resolve"]

ROOT = Path(__file__).resolve().parents[3]
TEMPLATES = tuple(
    path.relative_to(ROOT).as_posix()
    for path in sorted((ROOT / "deploy").rglob("*.yaml"))
    if "AWSTemplateFormatVersion" in path.read_text(encoding="utf-8")
)
REGION = "eu-central-1"
ACCOUNT = "111122223333"

Tree: TypeAlias = Any  # what YAML holds: nested dictionaries, lists and scalars

_PSEUDO = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "amazonaws.com",
}
_NO_VALUE = object()


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as the long ones."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> Tree:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    if isinstance(node, yaml.MappingNode):
        return {name: loader.construct_mapping(node, deep=True)}
    assert isinstance(node, yaml.ScalarNode)
    value = loader.construct_scalar(node)
    return {name: value.split(".", 1) if suffix == "GetAtt" else value}


_Loader.add_multi_constructor("!", _short_form)


@cache
def load(template: str) -> Tree:
    """A template of the project, by its path; not to be changed."""
    return yaml.load((ROOT / template).read_text(encoding="utf-8"), _Loader)  # noqa: S506 -- a SafeLoader


def resolve(
    template: Tree, parameters: dict[str, str], *, section: str = "Resources"
) -> dict[str, Tree]:
    """What is made with these parameters, references of resources to each other as `<Name.Attr>`.

    Raises ValueError for a parameter that the template does not allow.
    """
    values = dict(_PSEUDO)
    for name, declared in template["Parameters"].items():
        value = str(parameters.get(name, declared.get("Default", f"<{name}>")))
        if name in parameters and not re.search(declared.get("AllowedPattern", ""), value):
            raise ValueError(f"{name}: {value!r} is not allowed")
        if value not in map(str, declared.get("AllowedValues", [value])):
            raise ValueError(f"{name}: {value!r} is not one of its values")
        is_list = declared["Type"].startswith(("CommaDelimitedList", "List"))
        values[name] = value.split(",") if is_list else value  # type: ignore[assignment]
    if unknown := parameters.keys() - template["Parameters"].keys():
        raise ValueError(f"there are no such parameters: {unknown}")
    resolver = _Resolver(template, values)
    return {
        name: resolver.value(part)
        for name, part in template[section].items()
        if "Condition" not in part or resolver.condition(part["Condition"])
    }


class _Resolver:
    def __init__(self, template: Tree, values: dict[str, Tree]) -> None:
        self.template = template
        self.values = values

    def condition(self, name: str) -> bool:
        return bool(self.value(self.template["Conditions"][name]))

    def value(self, node: Tree) -> Tree:
        if isinstance(node, list):
            items = [self.value(item) for item in node]
            return [item for item in items if item is not _NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            ((name, argument),) = node.items()
            if name == "Condition" and isinstance(argument, str):
                return self.condition(argument)
            if name == "Ref" or name.startswith("Fn::"):
                return self.function(name, argument)
        pairs = {key: self.value(item) for key, item in node.items() if key != "Condition"}
        if isinstance(node.get("Condition"), dict):  # of a policy's statement
            pairs["Condition"] = self.value(node["Condition"])
        return {key: item for key, item in pairs.items() if item is not _NO_VALUE}

    def function(self, name: str, argument: Tree) -> Tree:  # noqa: C901, PLR0911, PLR0912 -- a table of cases
        match name, argument:
            case "Ref", "AWS::NoValue":
                return _NO_VALUE
            case "Ref", _:
                return self.values.get(argument, f"<{argument}>")
            case "Fn::GetAtt", _:
                return f"<{'.'.join(argument)}>"
            case "Fn::If", [condition, yes, no]:
                return self.value(yes if self.condition(condition) else no)
            case "Fn::Equals", [one, other]:
                return str(self.value(one)) == str(self.value(other))
            case "Fn::Not", [one]:
                return not self.value(one)
            case "Fn::And", many:
                return all(map(self.value, many))
            case "Fn::Or", many:
                return any(map(self.value, many))
            case "Fn::Join", [separator, parts]:
                return separator.join(self.value(parts))
            case "Fn::Split", [separator, text]:
                return self.value(text).split(separator)
            case "Fn::Select", [index, parts]:
                return self.value(parts)[index]
            case "Fn::FindInMap", [table, *keys]:
                first, second = map(str, map(self.value, keys))
                return self.template["Mappings"][table][first][second]
            case "Fn::Sub", [text, more]:
                return self.substituted(text, self.value(more))
            case "Fn::Sub", text:
                return self.substituted(text, {})
        raise NotImplementedError(name)

    def substituted(self, text: str, more: dict[str, Tree]) -> str:
        known = {**self.values, **more}
        return re.sub(
            r"\$\{([\w:.]+)\}", lambda found: str(known.get(found[1], f"<{found[1]}>")), text
        )
