"""Templates and manifests as the tools of those who read them see them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from s3archivefs_lambda.config.key_patterns import KeyPatterns
from s3archivefs_lambda.config.settings import Config
from tests.support.aws.stacks import ROOT, TEMPLATES, load, resolve

DEPLOY_PYTHON = os.environ.get("TESTS_DEPLOY_PYTHON", "")
"""Of the environment with cfn-lint and the like; noxfile.py makes it."""

MAX_TEMPLATE_BYTES = 51_200
"""Of what CloudFormation takes in a request."""
REQUIRED = {
    "deploy/template.yaml": {
        "CodeBucket": "code",
        "CodeKey": "zip",
        "SupportingBucket": "archives",
    },
    "deploy/function-url/template.yaml": {
        "CodeBucket": "code",
        "CodeKey": "zip",
        "SecretArn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:keys-AbCdEf",
    },
    "deploy/container/ecs.yaml": {
        "SecretArn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:keys-AbCdEf",
    },
}


def test_every_template_is_looked_at() -> None:
    assert {*TEMPLATES} == {*REQUIRED}


def test_cfn_lint_has_nothing_to_say() -> None:
    cfn_lint = str(Path(DEPLOY_PYTHON).with_name("cfn-lint"))
    command = [cfn_lint, "--include-checks", "I", "--template", *TEMPLATES]
    linted = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_need_not_be_put_into_a_bucket_first(template: str) -> None:
    assert (ROOT / template).stat().st_size <= MAX_TEMPLATE_BYTES


def test_the_manifest_for_kubernetes_is_valid() -> None:
    command = [DEPLOY_PYTHON, "-m", "kubernetes_validate", "--strict"]
    manifest = "deploy/container/kubernetes.yaml"
    done = subprocess.run(
        [*command, manifest], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.count("passed") + done.stdout.count("passed") == 4


# ---- What the function is told -------------------------------------------------------------------


def settings_of(resources: dict[str, object]) -> dict[str, str]:
    """The settings that a stack gives to the function or the container."""
    for resource in resources.values():
        assert isinstance(resource, dict)
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"]["Environment"]["Variables"]
            break
        if resource["Type"] == "AWS::ECS::TaskDefinition":
            (container,) = resource["Properties"]["ContainerDefinitions"]
            variables = {pair["Name"]: pair["Value"] for pair in container["Environment"]}
            break
    return {
        name: str(value)
        for name, value in variables.items()
        if name.startswith("S3ARCHIVEFS_") and "_ENDPOINT_" not in name
    }


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_settings_of_a_stack_are_ones_that_are_read(template: str) -> None:
    mappings = {"Mapping1": "a b/ü|s3://bucket/a.sqfs", "Mapping3": "|s3://bucket/root.sqfs"}
    resources = resolve(load(template), {**REQUIRED[template], **mappings})
    config = Config.from_environ(settings_of(resources))
    assert {mapping.prefix: str(mapping.location) for mapping in config.mappings} == {
        "a b/ü": "s3://bucket/a.sqfs",
        "": "s3://bucket/root.sqfs",
    }


def test_the_cache_is_where_the_parameters_say() -> None:
    template = load("deploy/template.yaml")
    common = {**REQUIRED["deploy/template.yaml"], "Mapping1": "a|s3://bucket/a.sqfs"}
    for text in template["Parameters"]["StorageMiB"]["AllowedValues"]:
        size = int(text)
        resources = resolve(template, {**common, "StorageMiB": text})
        config = Config.from_environ(settings_of(resources))
        assert str(config.cache_dir) == "/tmp"  # noqa: S108 -- Lambda's own
        assert config.cache_max_bytes == size * 3 // 4 * 2**20
        storage = resources["Function"]["Properties"]["EphemeralStorage"]["Size"]
        assert int(storage) == size
    resources = resolve(template, {**common, "CacheOn": "efs", "EfsCacheBytes": "1000000"})
    config = Config.from_environ(settings_of(resources))
    assert (str(config.cache_dir), config.cache_max_bytes) == ("/mnt/cache", 1000000)
    (mounted,) = resources["Function"]["Properties"]["FileSystemConfigs"]
    assert mounted["LocalMountPath"] == "/mnt/cache"


def test_the_other_settings_are_those_of_the_parameters() -> None:
    given = {
        "Metrics": "emf",
        "SuperblockMetadata": "expected",
        "RevalidateSeconds": "0",
        "BucketArchives": "*.sqfs images/*",
    }
    common = {**REQUIRED["deploy/template.yaml"], "Mapping1": "a|s3://bucket/a.sqfs"}
    resources = resolve(load("deploy/template.yaml"), {**common, **given})
    config = Config.from_environ(settings_of(resources))
    assert config.metrics == "emf"
    assert config.superblock_metadata == "expected"
    assert config.revalidate_seconds == 0
    assert config.bucket_archives == KeyPatterns(("*.sqfs", "images/*"))


# ---- The access point ----------------------------------------------------------------------------


def test_the_access_point_sends_every_operation_to_the_function_ranges_included() -> None:
    resources = resolve(load("deploy/template.yaml"), REQUIRED["deploy/template.yaml"])
    properties = resources["ObjectLambdaAccessPoint"]["Properties"]
    configuration = properties["ObjectLambdaConfiguration"]
    (transformation,) = configuration["TransformationConfigurations"]
    operations = {"GetObject", "HeadObject", "ListObjects", "ListObjectsV2"}
    assert {*transformation["Actions"]} == operations
    assert transformation["ContentTransformation"] == {
        "AwsLambda": {"FunctionArn": "<Function.Arn>"}
    }
    assert {*configuration["AllowedFeatures"]} == {
        f"{operation}-{feature}"
        for operation in ("GetObject", "HeadObject")
        for feature in ("Range", "PartNumber")
    }
    assert configuration["SupportingAccessPoint"] == "<SupportingAccessPoint.Arn>"


# ---- EFS -----------------------------------------------------------------------------------------

EFS = {"CacheOn": "efs", "VpcId": "vpc-1", "Subnet1Id": "subnet-1", "Subnet2Id": "subnet-2"}


def test_without_efs_there_is_no_vpc() -> None:
    resources = resolve(load("deploy/template.yaml"), REQUIRED["deploy/template.yaml"])
    assert "VpcConfig" not in resources["Function"]["Properties"]
    kinds = {resource["Type"] for resource in resources.values()}
    assert not any(kind.startswith(("AWS::EFS", "AWS::EC2")) for kind in kinds)


def test_with_efs_the_function_is_made_after_all_that_a_mount_takes() -> None:
    resources = resolve(load("deploy/template.yaml"), {**REQUIRED["deploy/template.yaml"], **EFS})
    waits_for = str(resources["Function"])
    for name in ("MountTarget1", "MountTarget2", "CachePolicy", "FileSystemAccessPoint"):
        assert f"<{name}" in waits_for
    assert resources["Function"]["Properties"]["VpcConfig"]["SubnetIds"] == [
        resources["MountTarget1"]["Properties"]["SubnetId"],
        resources["MountTarget2"]["Properties"]["SubnetId"],
    ]


def test_the_gateway_endpoint_is_made_for_the_route_tables_that_are_given() -> None:
    template = load("deploy/template.yaml")
    common = {**REQUIRED["deploy/template.yaml"], **EFS}
    assert "GatewayEndpoint" not in resolve(template, common)
    resources = resolve(template, {**common, "RouteTableIds": "rtb-1,rtb-2"})
    assert resources["GatewayEndpoint"]["Properties"]["RouteTableIds"] == ["rtb-1", "rtb-2"]
