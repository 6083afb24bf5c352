"""The function as Lambda loads it: settings from the environment, once, at import."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tests.support.aws.emf import metrics_of
from tests.support.aws.object_lambda_events import CallerRequest, Operation, event_for
from tests.support.images.fixtures import DIRECTORY, FIXTURES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Loads the function as Lambda does, which gives the root logger a handler first. Notes what S3
# would be told, when botocore makes clients, and what the requests import.
PROGRAM = """
import gc, json, logging, sys
logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
import botocore.session

clients = []
create_client = botocore.session.Session.create_client
def noted(*arguments, **options):
    clients.append(when)
    made = create_client(*arguments, **options)
    made.write_get_object_response = write_get_object_response
    return made
def write_get_object_response(*, Body=None, **parameters):
    body = None if Body is None else Body.read().decode()
    written.append({name: str(value) for name, value in parameters.items()} | {"Body": body})
botocore.session.Session.create_client = noted

when = "start"
from s3archivefs_lambda import handler
when = "request"
collects = gc.isenabled() and gc.get_freeze_count() > 0
started = set(sys.modules)

answers, written = [], []
for event in json.load(sys.stdin):
    try:
        answers.append(handler.lambda_handler(event, None))
    except ValueError as error:
        answers.append({"ValueError": str(error)})
told = {"answers": answers, "written": written, "clients": clients, "collects": collects}
print(json.dumps(told | {"imported": sorted(set(sys.modules) - started)}))
"""


def run(environ: Mapping[str, str], *events: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What the function returned and wrote, and the lines of its log; `requests` are those of the
    request log, which go to standard output.
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=DIRECTORY.parent,
        env={"PATH": os.environ["PATH"], **environ},
        input=json.dumps(events),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *requests, last = done.stdout.splitlines()
    told: dict[str, Any] = json.loads(last)
    return told | {"requests": requests}, done.stderr.splitlines()


def event(operation: Operation, key: str = "", query: str = "") -> dict[str, Any]:
    request = CallerRequest(operation, key, query, ())
    return event_for(request, route="route", token="token", payload="")


EVERY_OPERATION = (
    event(Operation.GET_OBJECT, "docs/short.txt"),
    event(Operation.HEAD_OBJECT, "docs/short.txt"),
    event(Operation.LIST_OBJECTS_V2, "", "list-type=2"),
    event(Operation.LIST_OBJECTS),
)


def test_the_function_serves_what_the_environment_maps() -> None:
    environ = {"S3ARCHIVEFS_PREFIX_VMAP1": f"docs|{FIXTURES['gzip'].image.as_uri()}"}
    told, log = run(environ, *EVERY_OPERATION)
    got, head, listed, listed_in_version_1 = told["answers"]
    assert got == {"statusCode": 200}
    assert told["written"][0]["StatusCode"] == "200"
    assert told["written"][0]["RequestToken"] == "token"
    assert told["written"][0]["Body"].startswith("line 00000 of a text\n")
    assert (head["statusCode"], head["headers"]["Content-Length"]) == (200, 700)
    assert "<Key>docs/short.txt</Key>" in listed["listResultXml"]
    assert "<Marker></Marker>" in listed_in_version_1["listResultXml"]
    assert log == []


def test_lines_of_the_request_log_are_bare_json() -> None:
    """Lambda's own handler, which the root logger has, would put a head before them."""
    environ = {"S3ARCHIVEFS_PREFIX_VMAP1": f"docs|{FIXTURES['gzip'].image.as_uri()}"}
    told, _ = run(environ, *EVERY_OPERATION)
    lines = [json.loads(line) for line in told["requests"]]
    assert [line["operation"] for line in lines] == [
        *("GetObject", "HeadObject", "ListObjectsV2", "ListObjects")
    ]
    assert [line["request_id"] for line in lines] == [
        event["xAmzRequestId"] for event in EVERY_OPERATION
    ]
    assert not any("_aws" in line for line in lines)


def test_they_carry_metrics_where_the_setting_says_so() -> None:
    told, _ = run({"S3ARCHIVEFS_METRICS": "emf"}, *EVERY_OPERATION)
    for line in told["requests"]:
        values = {metric.name: metric.value for metric in metrics_of(line)}
        assert values["Requests"] == 1
    assert len(told["requests"]) == len(EVERY_OPERATION)


def test_an_event_that_is_none_fails_and_the_next_is_served() -> None:
    told, _ = run({}, {"Records": []}, EVERY_OPERATION[1])
    no_event, head = told["answers"]
    assert "not an S3 Object Lambda event" in no_event["ValueError"]
    assert head["statusCode"] == 404  # nothing is mapped


def test_the_log_tells_where_nothing_is_mapped() -> None:
    told, log = run({}, EVERY_OPERATION[1])
    assert told["answers"][0]["statusCode"] == 404
    (line,) = log
    assert line.startswith("WARNING ")
    assert "nothing is served: set S3ARCHIVEFS_PREFIX_VMAP1" in line


def test_an_archive_at_the_root_is_a_fault_where_the_bucket_itself_is_served() -> None:
    environ = {
        "S3ARCHIVEFS_PREFIX_VMAP1": "|s3://bucket/a.sqfs",
        "S3ARCHIVEFS_BUCKET_ARCHIVES": "*.sqfs",
    }
    told, log = run(environ, EVERY_OPERATION[1])
    assert told["answers"][0]["statusCode"] == 500
    (line,) = log
    assert "S3ARCHIVEFS_PREFIX_VMAP1" in line
    assert "already mapped by S3ARCHIVEFS_BUCKET_ARCHIVES" in line


def test_without_its_access_point_in_the_event_no_bucket_is_served() -> None:
    bare = {name: value for name, value in EVERY_OPERATION[1].items() if name != "configuration"}
    told, _ = run({"S3ARCHIVEFS_BUCKET_ARCHIVES": "*.sqfs"}, bare)
    (answer,) = told["answers"]
    assert (answer["statusCode"], answer["errorCode"]) == (500, "InternalError")
    assert "supporting access point" in answer["errorMessage"]
    assert told["clients"] == ["start"] * 3


def test_a_prefix_in_a_bucket_is_a_fault_as_requests_name_no_bucket() -> None:
    environ = {
        "S3ARCHIVEFS_PREFIX_VMAP1": "docs|s3://bucket/a.sqfs",
        "S3ARCHIVEFS_PREFIX_VMAP2": "s3://books/docs|s3://bucket/a.sqfs",
    }
    told, log = run(environ, *EVERY_OPERATION)
    assert [json.loads(line)["status"] for line in told["requests"]] == [500] * 4
    (line,) = log
    assert "S3ARCHIVEFS_PREFIX_VMAP2: the prefix names the bucket books" in line


def test_malformed_settings_are_logged_one_line_a_fault_and_told_to_every_caller(
    tmp_path: Path,
) -> None:
    mappings = tmp_path / "mappings"
    mappings.write_text("# comment\nsrc|ftp://host/file\n")
    environ = {
        "S3ARCHIVEFS_PREFIX_VMAP1": "no separator",
        "S3ARCHIVEFS_PREFIX_VMAP2": "docs|s3://bucket/a.sqfs",
        "S3ARCHIVEFS_PREFIX_VMAP3": "docs/|s3://bucket/b.sqfs",
        "S3ARCHIVEFS_PREFIX_VMAP_EXT_FILE": str(mappings),
        "S3ARCHIVEFS_CACHE_CHUNK_SIZE": "1M",
        "S3ARCHIVEFS_CACHEDIR": "/tmp",  # noqa: S108 -- a misspelt name
    }
    told, log = run(environ, *EVERY_OPERATION)
    assert [json.loads(line)["status"] for line in told["requests"]] == [500] * 4
    assert len(log) == 5
    assert all(line.startswith("CRITICAL ") for line in log)
    for fault in (
        "S3ARCHIVEFS_PREFIX_VMAP1: ",
        "S3ARCHIVEFS_PREFIX_VMAP3: ",
        f"{mappings}:2: ",
        "S3ARCHIVEFS_CACHE_CHUNK_SIZE='1M': ",
        "S3ARCHIVEFS_CACHEDIR: ",
    ):
        assert sum(fault in line for line in log) == 1, fault
    message = "The function's settings are malformed; its log names each fault."
    assert told["answers"] == [
        {"statusCode": 500},
        *[{"statusCode": 500, "errorCode": "InternalError", "errorMessage": message}] * 3,
    ]
    (written,) = told["written"]
    assert written == {
        "RequestRoute": "route",
        "RequestToken": "token",
        "StatusCode": "500",
        "ErrorCode": "InternalError",
        "ErrorMessage": message,
        "Body": None,
    }


def test_clients_are_made_while_the_function_starts_and_at_no_request() -> None:
    environ = {
        "S3ARCHIVEFS_PREFIX_VMAP1": f"docs|{FIXTURES['gzip'].image.as_uri()}",
        "S3ARCHIVEFS_PREFIX_VMAP2": "unreachable|s3://bucket/key",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "EXAMPLEACCESSKEY",
        "AWS_SECRET_ACCESS_KEY": "example",
    }
    told, _ = run(environ, *EVERY_OPERATION, event(Operation.GET_OBJECT, "unreachable/file"))
    assert [answer["StatusCode"] for answer in told["written"]] == ["200", "503"]
    assert told["clients"] == ["start", "start"]


def test_first_request_imports_nothing_and_collections_leave_out_what_the_start_made() -> None:
    environ = {"S3ARCHIVEFS_PREFIX_VMAP1": f"docs|{FIXTURES['gzip'].image.as_uri()}"}
    told, _ = run(environ, EVERY_OPERATION[0])
    assert told["answers"] == [{"statusCode": 200}]
    assert told["imported"] == []
    assert told["collects"]
