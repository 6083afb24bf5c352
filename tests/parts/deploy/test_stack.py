"""The stack as `aws cloudformation deploy` makes it, in moto, as far as that knows its parts."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from ast import literal_eval
from typing import TYPE_CHECKING, Any

import pytest

from tests.parts.deploy.test_templates import DEPLOY_PYTHON
from tests.support.aws.stacks import ROOT, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.processes.forked_program import ForkedProgram

    Aws = Callable[..., Any]

# What its CloudFormation does not make: of these, cfn-lint's schemas are all that is asked.
UNKNOWN_TO_MOTO = {
    "AWS::EC2::SecurityGroupEgress",
    "AWS::S3::AccessPoint",
    "AWS::S3ObjectLambda::AccessPoint",
}
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print("http://%s:%s" % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""
STACK = "archives"
GIVEN = {
    "CodeBucket": "code",
    "CodeKey": "function.zip",
    "SupportingBucket": "archives",
    "Mapping1": "docs|s3://archives/docs.sqfs",
}


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of moto's server."""
    errors = tmp_path_factory.mktemp("moto") / "errors"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            [DEPLOY_PYTHON, "-c", SERVER],
            stdin=subprocess.PIPE,  # closed, it ends
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url, errors.read_text()
        yield url


@pytest.fixture
def aws(aws_cli: ForkedProgram, moto: str, tmp_path: Path) -> Iterator[Aws]:
    """The AWS CLI, against an account with nothing but the buckets and the zip."""
    environ = os.environ | {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }

    def run(*arguments: str, status: int = 0) -> Any:  # noqa: ANN401 -- any JSON
        done = aws_cli(*arguments, "--output", "json", environ=environ)
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout

    with zipfile.ZipFile(tmp_path / "function.zip", "w") as archive:
        archive.writestr("function.py", "")
    for bucket in ("code", "archives"):
        run("s3", "mb", f"s3://{bucket}")
    run("s3", "cp", "--no-progress", str(tmp_path / "function.zip"), "s3://code/function.zip")
    yield run
    run("cloudformation", "delete-stack", "--stack-name", STACK)
    for bucket in ("code", "archives"):
        run("s3", "rb", "--force", f"s3://{bucket}")


def deploy(aws: Aws, **parameters: str) -> None:
    """What docs/deploy.md does."""
    given = [f"{name}={value}" for name, value in (GIVEN | parameters).items()]
    template = str(ROOT / "deploy" / "template.yaml")
    names = ["--stack-name", STACK, "--template-file", template]
    aws("cloudformation", "deploy", *names, "--capabilities", "CAPABILITY_IAM",
        "--parameter-overrides", *given)  # fmt: skip


def made(aws: Aws) -> dict[str, str]:
    """The resources of the stack, by the type: all that moto knows."""
    resources = aws("cloudformation", "list-stack-resources", "--stack-name", STACK)
    return {
        summary["LogicalResourceId"]: summary["ResourceType"]
        for summary in resources["StackResourceSummaries"]
        if summary["LogicalResourceId"]  # those it does not know come without a name
    }


def wanted(*, efs: bool) -> dict[str, str]:
    resources = load("deploy/template.yaml")["Resources"]
    return {
        name: resource["Type"]
        for name, resource in resources.items()
        if resource["Type"] not in UNKNOWN_TO_MOTO and (efs or "Condition" not in resource)
    }


# That a stack is changed is not tried: moto then changes what a condition has left out, and fails.
def test_the_stack_is_made_and_deleted(aws: Aws) -> None:
    deploy(aws, Mapping2="src|s3://archives/src.sqfs", Metrics="emf")
    assert made(aws) == wanted(efs=False)
    function = aws("lambda", "get-function-configuration", "--function-name", "s3archivefs")
    variables = function["Environment"]["Variables"]
    assert (function["Runtime"], function["MemorySize"]) == ("python3.13", 1024)
    assert variables["S3ARCHIVEFS_PREFIX_VMAP1"] == "docs|s3://archives/docs.sqfs"
    role = function["Role"].rpartition("/")[2]
    policy = aws("iam", "get-role-policy", "--role-name", role, "--policy-name", "serve")
    (read,) = [
        statement
        for statement in literal_eval(policy["PolicyDocument"])["Statement"]  # as moto writes it
        if statement and "s3:GetObject" in statement["Action"]
    ]
    # moto leaves null where CloudFormation leaves out what is AWS::NoValue.
    assert [resource for resource in read["Resource"] if resource] == [
        "arn:aws:s3:::archives/docs.sqfs",
        "arn:aws:s3:::archives/src.sqfs",
    ]
    assert variables["S3ARCHIVEFS_PREFIX_VMAP2"] == "src|s3://archives/src.sqfs"
    assert variables["S3ARCHIVEFS_METRICS"] == "emf"

    aws("cloudformation", "delete-stack", "--stack-name", STACK)
    assert aws("lambda", "list-functions")["Functions"] == []
    assert [
        found for found in aws("iam", "list-roles")["Roles"] if found["RoleName"].startswith(STACK)
    ] == []
    assert aws("logs", "describe-log-groups")["logGroups"] == []


def test_the_cache_on_efs_is_made_with_its_network(aws: Aws) -> None:
    vpc = aws("ec2", "create-vpc", "--cidr-block", "10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        aws("ec2", "create-subnet", "--vpc-id", vpc, "--cidr-block", f"10.0.{number}.0/24",
            "--availability-zone", f"eu-central-1{zone}")["Subnet"]["SubnetId"]
        for number, zone in enumerate("ab")
    ]  # fmt: skip
    tables = aws("ec2", "describe-route-tables", "--filters", f"Name=vpc-id,Values={vpc}")
    table = tables["RouteTables"][0]["RouteTableId"]
    deploy(
        aws,
        CacheOn="efs",
        VpcId=vpc,
        Subnet1Id=subnets[0],
        Subnet2Id=subnets[1],
        RouteTableIds=table,
    )
    assert made(aws) == wanted(efs=True)
    (system,) = aws("efs", "describe-file-systems")["FileSystems"]
    targets = aws("efs", "describe-mount-targets", "--file-system-id", system["FileSystemId"])
    assert {target["SubnetId"] for target in targets["MountTargets"]} == {*subnets}
    function = aws("lambda", "get-function-configuration", "--function-name", "s3archivefs")
    assert {*function["VpcConfig"]["SubnetIds"]} == {*subnets}
