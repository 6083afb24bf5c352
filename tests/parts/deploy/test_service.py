"""Units, probes and alerts: what systemd, Kubernetes, ECS and Prometheus are told."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from s3archivefs_lambda.commands.capacity import capacity_of
from s3archivefs_lambda.commands.endpoint_settings import (
    ENDPOINT_SETTINGS,
    FORWARDED_ALLOW_IPS,
    METRICS_HOST,
    METRICS_PORT,
    PAGE,
    STOP_SECONDS,
    WORKERS,
    EndpointSetting,
    add_options,
    given_settings,
)
from s3archivefs_lambda.config.names import ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY
from s3archivefs_lambda.endpoint.board import Board
from s3archivefs_lambda.endpoint.exposition import Exposition
from s3archivefs_lambda.endpoint.meter import Meter, WorkerState
from s3archivefs_lambda.request_log import Exchange
from tests.support.aws.stacks import ROOT, load, resolve
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "systemd" / "s3archivefs.service"
CONTAINERFILE = DEPLOY / "container" / "Containerfile"
MANIFEST = DEPLOY / "container" / "kubernetes.yaml"
ECS = "deploy/container/ecs.yaml"
SCRIPT = DEPLOY / "run.sh"
NEEDED = {"SecretArn": "arn:aws:secretsmanager:eu-central-1:111122223333:secret:keys-AbCdEf"}
LATER = 2
"""Seconds that a process may take to end after its requests have had theirs."""


def test_the_names_of_the_endpoints_settings_are_known() -> None:
    known = {setting.variable for setting in ENDPOINT_SETTINGS}
    known |= {ENDPOINT_ACCESS_KEY_ID, ENDPOINT_SECRET_ACCESS_KEY}
    for path in (UNIT, CONTAINERFILE, MANIFEST, ROOT / ECS, SCRIPT):
        named = set(re.findall("S3ARCHIVEFS_ENDPOINT_[A-Z_]+", path.read_text()))
        assert named, path
        assert named <= known, path


# ---- systemd -------------------------------------------------------------------------------------


def options() -> dict[str, list[str]]:
    """What the unit says, by the names of its options."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/s3archivefs/bin/s3archivefs", "/bin/true"))
    return unit


def test_systemd_has_nothing_to_say_of_the_unit(installed: Path) -> None:
    done = analyze("verify", str(installed))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_systemd_finds_the_unit_well_shut_off(installed: Path) -> None:
    # Of 100, in tenths of its own scale. Of services without any of these options it says 96.
    done = analyze("security", "--offline=true", "--threshold=15", str(installed))
    assert done.returncode == 0, done.stdout


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_unit_waits_until_requests_have_ended() -> None:
    (given,) = (
        pair.partition("=")[2]
        for pair in options()["Environment"]
        if pair.startswith(STOP_SECONDS.variable)
    )
    limits = capacity_of({STOP_SECONDS: given}).limits()
    assert int(options()["TimeoutStopSec"][0]) >= limits.stop_seconds + LATER
    assert options()["Type"] == ["notify"]
    assert options()["ExecReload"] == ["kill -HUP $MAINPID"]


# ---- Containers ----------------------------------------------------------------------------------


def image_environ() -> dict[str, str]:
    text = CONTAINERFILE.read_text().replace("\\\n", " ").rpartition("\nENV ")[2].splitlines()[0]
    return dict(pair.split("=", 1) for pair in text.split())


def documents() -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(MANIFEST.read_text())


def test_probes_of_kubernetes_ask_where_the_image_answers_them() -> None:
    settings: dict[str, str] = {}
    for document in documents():
        if document["kind"] == "ConfigMap":
            settings = document["data"]
    (deployment,) = (each for each in documents() if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert image_environ()[METRICS_HOST.variable] == "0.0.0.0"  # noqa: S104 -- the kubelet asks from outside
    assert image_environ()[METRICS_PORT.variable] == str(ports["metrics"])
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")}
    assert set(map(str, probes.values())) == {str({"path": "/-/healthy", "port": "metrics"})}
    assert container["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "metrics"}
    stop = int(settings[STOP_SECONDS.variable])
    pause = int(re.findall(r"sleep\((\d+)\)", str(container["lifecycle"]))[0])
    assert pod["terminationGracePeriodSeconds"] >= pause + stop + LATER
    assert settings[WORKERS.variable] == container["resources"]["requests"]["cpu"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("processors", ["1", "2", "4"])
def test_a_task_of_ecs_has_a_worker_for_each_processor(processors: str) -> None:
    resources = resolve(
        load(ECS), {**NEEDED, "Mapping1": "a|s3://bucket/c", "Processors": processors}
    )
    task = resources["Task"]["Properties"]
    assert int(task["Cpu"]) == 1024 * int(processors)
    (container,) = task["ContainerDefinitions"]
    settings = {pair["Name"]: pair["Value"] for pair in container["Environment"]}
    assert settings[WORKERS.variable] == processors
    assert container["StopTimeout"] >= int(settings[STOP_SECONDS.variable]) + LATER
    assert f":{image_environ()[METRICS_PORT.variable]}/-/healthy" in str(container["HealthCheck"])
    targets = resources["Targets"]["Properties"]
    assert (targets["HealthCheckPath"], targets["HealthCheckPort"]) == ("/-/ready", "traffic-port")


def test_a_task_of_ecs_sees_the_addresses_of_its_clients() -> None:
    resources = resolve(load(ECS), {**NEEDED, "Mapping1": "a|s3://bucket/c"})
    targets = resources["Targets"]["Properties"]
    attributes = {pair["Key"]: pair["Value"] for pair in targets["TargetGroupAttributes"]}
    assert attributes["preserve_client_ip.enabled"] == "true"


# ---- A function with a URL -----------------------------------------------------------------------


def started(directory: Path, **variables: str) -> dict[EndpointSetting, str]:
    """The settings with which the zip's script starts the endpoint."""
    python = directory / "python"
    python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    python.chmod(0o755)
    environ = {"PATH": f"{directory}:{os.environ['PATH']}", **variables}
    done = subprocess.run([SCRIPT], env=environ, capture_output=True, text=True, check=True)
    parser = argparse.ArgumentParser()
    add_options(parser)
    known, _ = parser.parse_known_args(done.stdout.splitlines())
    return given_settings(known, {})


@pytest.mark.parametrize("variables", [{}, {FORWARDED_ALLOW_IPS.variable: ""}])
def test_a_function_with_a_url_has_one_worker_and_believes_no_clients_address(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    assert started(tmp_path, **variables) == {PAGE: "off", WORKERS: "1"}


@pytest.mark.parametrize(("setting", "value"), [(PAGE, "on"), (WORKERS, "2")])
def test_variables_of_a_function_with_a_url_come_first(
    tmp_path: Path, setting: EndpointSetting, value: str
) -> None:
    assert started(tmp_path, **{setting.variable: value})[setting] == value


# ---- Prometheus ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exposed() -> set[str]:
    """The names of all samples."""
    meter = Meter(board := Board(1), clock := Clock())
    meter.begin(0)
    meter.count(Exchange(request_id="R", emf=False, operation="GetObject", status=200), 1)
    meter.note(WorkerState(0, 0, 0, 0, 0, 0, 0), 0)
    text, _ = Exposition(board, clock).encode("")
    families = text_string_to_metric_families(text.decode())
    return {sample.name for family in families for sample in family.samples}


def test_alerts_are_on_metrics_that_there_are_and_the_page_tells_of_each(exposed: set[str]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    told = re.findall(r"^\| `(S3archivefs\w+)` \|", page, re.MULTILINE)
    assert [rule["alert"] for rule in group["rules"]] == told
    for rule in group["rules"]:
        assert set(re.findall(r"s3archivefs_\w+", rule["expr"])) <= exposed


def test_answers_that_break_off_alert_though_none_was_ever_a_5xx(exposed: set[str]) -> None:
    """A sum of series with a label that no request had yet has no value, nor has one with it."""
    (group,) = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())["groups"]
    (rule,) = [rule for rule in group["rules"] if rule["alert"] == "S3archivefsErrors"]
    rate = r"sum by \(instance\) \(rate\((\w+)(?:{[^}]+})?\[5m\]\)\)"
    summed, plus, broken = rule["expr"].partition(" > ")[0].partition(" + ")
    assert plus
    assert re.fullmatch(rf"\({rate} or 0 \* {rate}\)", summed)
    found = re.fullmatch(rate, broken)
    assert found
    assert found[1] == "s3archivefs_broken_responses_total"
    assert found[1] in exposed  # though nothing has broken off


def test_the_page_tells_of_every_metric(exposed: set[str]) -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = "".join(line for line in page.splitlines(keepends=True) if line.startswith("| `s3arc"))
    parts_of_histogram = re.compile("_(bucket|count|sum)$")
    expected = {parts_of_histogram.sub("", name) for name in exposed}
    assert set(re.findall(r"`(s3archivefs_\w+)`", table)) == expected


def test_prometheus_scrapes_the_port_that_the_unit_opens() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
    (job,) = config["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert f"--{METRICS_PORT.option} {target.rpartition(':')[2]}" in options()["ExecStart"][0]
    for rules in config["rule_files"]:
        assert (DEPLOY / "prometheus" / rules).exists()
