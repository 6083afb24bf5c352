"""Requests as an attacker puts them on the wire, through both transports; and mappings that point
out of the cache directory.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree as ET

import pytest

from fixtures.shapes import noise
from fixtures.tree import file
from s3archivefs_lambda.archives.archives import Archives
from s3archivefs_lambda.bucket.operations import Operations
from s3archivefs_lambda.config.prefix_map import PrefixMap, parse_mapping
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from s3archivefs_lambda.endpoint.server import S3HttpServer
from s3archivefs_lambda.object_lambda.transport import ObjectLambda
from s3archivefs_lambda.s3api.messages import S3Request
from tests.support.adapter.local_archives import ask as ask_operations
from tests.support.adapter.local_archives import config_for, content, operations_on
from tests.support.aws.object_lambda_events import CallerRequest, Operation, event_for
from tests.support.images.fixtures import make_image
from tests.support.servers.scripted_store import ScriptedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from types_boto3_s3 import S3Client

    Ask = Callable[[str, str], "Answer"]

INJECTED = "a\r\nX-Injected: 1\r\n\r\nbody"
ODD_NAMES = (INJECTED, "<&>]]>\"'", "\x01\x7f", "\udcff\udcfe", "%2e%2e", "\u2028")


@dataclass
class Answer:
    """What a client gets."""

    status: int
    code: str
    """The code of an error, else empty."""
    headers: dict[str, str]
    body: bytes


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    xattrs = {"user.x": b"a\r\nX-Injected: 1"}
    tree = tuple(file(name, b"content", xattrs=xattrs) for name in ODD_NAMES)
    return make_image(tmp_path_factory.mktemp("odd"), tree, "-xattrs")


@pytest.fixture(scope="module", params=["object-lambda", "endpoint"])
def ask(request: pytest.FixtureRequest, image: Path) -> Iterator[Ask]:
    """Send a raw key and query to the transport."""
    operations = operations_on({"m": image})
    if request.param == "object-lambda":
        yield asking_the_function(operations)
        return
    app = make_app({"archive": ServedBucket(operations)}, verifier=None)
    with S3HttpServer(app, port=0) as server:
        yield lambda key, query: ask_the_endpoint(server.url, key, query)


def ask_the_endpoint(url: str, key: str, query: str) -> Answer:
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=60)) as client:
        client.putrequest("GET", f"/archive/{key}?{query}")
        client.endheaders()
        with client.getresponse() as response:
            body = response.read()
            code = "" if response.status < 400 else ET.fromstring(body).findtext("Code", "")  # noqa: S314 -- our own
            return Answer(response.status, code, dict(response.getheaders()), body)


def asking_the_function(operations: Operations) -> Ask:
    written: list[dict[str, Any]] = []

    class Client:
        def write_get_object_response(self, **parameters: Any) -> None:  # noqa: ANN401 -- botocore's
            parameters["Body"] = parameters["Body"].read() if "Body" in parameters else b""
            written.append(parameters)

    function = ObjectLambda(operations, lambda: cast("S3Client", Client()))

    def ask(key: str, query: str) -> Answer:
        operation = Operation.GET_OBJECT if key else Operation.LIST_OBJECTS_V2
        caller = CallerRequest(operation, key, query, ())
        event = event_for(caller, route="route", token="token", payload="")
        result = function.handle(json.loads(json.dumps(event)))
        if not key:
            xml = result.get("listResultXml", "").encode()
            return Answer(result["statusCode"], result.get("errorCode", ""), {}, xml)
        told = written.pop()
        body = told.pop("Body")
        headers = {name: str(value) for name, value in told.items()}
        return Answer(told["StatusCode"], told.get("ErrorCode", ""), headers, body)

    return ask


@pytest.mark.parametrize(
    "key",
    [
        *("m/..", "m/../m/x", "../m/x", "m/%2e%2e/m/x", "m/%2e%2e%2fm", "..%2f..%2fetc%2fpasswd"),
        *("m//x", "//m/x", "m/x//", "m/.", "%2fetc%2fpasswd", "m/%2fetc%2fpasswd"),
        *("%00", "m/%00", "m/x%00", "m/%ff", "%ed%a0%80", "m/%c0%ae%c0%ae/x"),
        *("x" * 10_240, "m/" + "x" * 10_240, "m/" + "x/" * 5_000, "m/" + "%2e%2e/" * 1_000),
        *("m/%0d%0aX-Injected:%201", "m/%252e%252e/x", "m/x%3F", "m/%7f"),
    ],
    ids=lambda key: key[:30],
)
def test_a_key_that_names_no_member_is_no_such_key_and_nothing_else(ask: Ask, key: str) -> None:
    answer = ask(key, "")
    assert (answer.status, answer.code) == (404, "NoSuchKey")
    assert_not_injected(answer)


def assert_not_injected(answer: Answer) -> None:
    for name, value in answer.headers.items():
        assert (name + value).isprintable()
        assert "injected" not in (name + value).lower()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_member_of_any_name_is_read_and_its_name_and_attributes_reach_no_header(
    ask: Ask, name: str
) -> None:
    answer = ask("m/" + quote(name.encode("utf-8", "surrogateescape")), "")
    assert (answer.status, answer.body) == (200, b"content")
    assert_not_injected(answer)


@pytest.mark.parametrize("encoding", ["", "encoding-type=url&"])
def test_names_of_any_characters_break_no_listing(ask: Ask, encoding: str) -> None:
    listed = ET.fromstring(ask("", f"list-type=2&{encoding}prefix=m/").body)  # noqa: S314 -- our own
    assert listed.findtext("{*}KeyCount") == str(len(ODD_NAMES))
    assert [len(contents) for contents in listed.findall("{*}Contents")] == [5] * len(ODD_NAMES)


# ---- Mappings ------------------------------------------------------------------------------------

OPENED: list[str] | None = None
"""Paths that were opened, made, moved or deleted, while somebody wants to know."""


def audit(event: str, arguments: tuple[object, ...]) -> None:
    if OPENED is not None and event in {
        *("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.scandir", "os.utime"),
        *("os.listdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    }:
        OPENED.extend(path for path in arguments if isinstance(path, str) and "/" in path)


sys.addaudithook(audit)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What the process does with paths meanwhile."""
    global OPENED  # noqa: PLW0603 -- an audit hook stays for good
    paths: list[str] = []
    OPENED = paths
    try:
        yield paths
    finally:
        OPENED = None


@pytest.mark.parametrize(
    "location",
    [
        *("bucket/../../outside", "bucket//etc/passwd", "bucket/..", "bucket/a/../../b"),
        *("bucket/s3archivefs-cache/v1", "bucket/~root/x", "bucket/%2e%2e/x", "bucket/a\\..\\b"),
        *("bucket/" + "x" * 1024, "bucket/" + "../" * 300 + "x", "a..b/x", "../b/x", "bucket/a\0b"),
    ],
    ids=lambda location: location[:20],
)
def test_no_mapping_leads_out_of_the_cache_directory(tmp_path: Path, location: str) -> None:
    image = make_image(tmp_path, (file("a", noise(50_000)),))
    cache = tmp_path / "deep" / "cache"
    (tmp_path / "bystander").write_bytes(b"as it was")
    before = tree_of(tmp_path)
    try:
        mappings = PrefixMap.from_mappings([parse_mapping(f"m|s3://{location}", "the test")])
    except ValueError:
        assert not location.startswith("bucket/")  # no such buckets
        return
    config = replace(config_for({}), mappings=mappings, cache_dir=cache, tail_bytes=4096)
    with ScriptedStore(image.read_bytes()) as store:
        client = store.client()
        with watched() as paths:
            archives = Archives(config, lambda: client)
            operations = Operations(archives)
            for _ in range(2):
                body = content(ask_operations(operations, "GetObject", S3Request(key="m/a")))
            archives.wait_idle()  # threads beside the requests write to the cache
    assert body == noise(50_000)
    after = tree_of(tmp_path)
    new = after.keys() - before.keys()
    assert {name: after[name] for name in before} == before
    assert len(new) > 10
    assert all(Path(name).is_relative_to(cache) for name in new - {str(cache.parent)})
    touched = [path for path in paths if path.startswith(str(tmp_path)) or ".." in path]
    assert len(touched) > 10
    assert all(Path(path).is_relative_to(cache) for path in set(touched) - {str(cache.parent)})
    assert not any(".." in Path(path).parts for path in paths)
    assert not {"/etc/passwd", "/etc"}.intersection(paths)


def tree_of(directory: Path) -> dict[str, bytes | None]:
    """Every path below a directory, and what is in the files."""
    return {
        str(path): path.read_bytes() if path.is_file() else None for path in directory.rglob("*")
    }
