"""Which operation a request asks for, and for which key."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import botocore.session
import pytest

from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.s3api.errors import no_such_key
from tests.support.adapter.asked_application import ask
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.signed_requests import KEYS

if TYPE_CHECKING:
    from s3archivefs_lambda.endpoint.access_keys import AccessKey
    from s3archivefs_lambda.endpoint.signature import SignedRequest
    from s3archivefs_lambda.s3api.messages import S3Request, S3Response

NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


class Credulous(Verifier):
    def verify(self, request: SignedRequest) -> AccessKey | None:
        return next(iter(self.keys))


# ---- Routes --------------------------------------------------------------------------------------


def test_the_service_lists_its_one_bucket(operations: FakeOperations) -> None:
    answer = ask(operations, "/")
    root = ET.fromstring(answer.body)  # noqa: S314
    assert answer.status == 200
    assert root.tag == f"{NAMESPACE}ListAllMyBucketsResult"
    assert [name.text for name in root.iter(f"{NAMESPACE}Name")] == ["archive"]


def test_the_list_of_buckets_follows_its_parameters(operations: FakeOperations) -> None:
    assert b"<Name>archive</Name>" in ask(operations, "/?prefix=arch&max-buckets=1").body
    elsewhere = ask(operations, "/?prefix=other").body
    assert b"<Buckets></Buckets><Prefix>other</Prefix>" in elsewhere
    refused = ask(operations, "/?max-buckets=0")
    assert (refused.status, refused.error["Code"]) == (400, "InvalidArgument")


@pytest.mark.parametrize("target", ["/archive", "/archive/"])
def test_the_bucket_exists(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, target, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-amz-bucket-region"] == "us-east-1"


@pytest.mark.parametrize(
    ("region", "told"), [(None, ""), ("us-east-1", ""), ("eu-west-1", "eu-west-1")]
)
def test_the_bucket_has_the_region_of_its_signatures(
    operations: FakeOperations, region: str | None, told: str
) -> None:
    verifier = Credulous(KEYS, region=region)
    answer = ask(operations, "/archive?location", verifier=verifier)
    root = ET.fromstring(answer.body)  # noqa: S314
    assert (root.tag, root.text or "") == (f"{NAMESPACE}LocationConstraint", told)
    head = ask(operations, "/archive", "HEAD", verifier=verifier)
    assert head.headers["x-amz-bucket-region"] == (told or "us-east-1")


@pytest.mark.parametrize("target", ["/other", "/other/", "//archive/k", "/Archive?list-type=2"])
def test_there_are_no_other_buckets(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, target)
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchBucket")
    assert answer.error["BucketName"] == re.split("[/?]", target)[1]
    assert ask(operations, target, "HEAD").status == 404
    assert operations.asked == []


def test_a_target_in_absolute_form_names_the_host_and_the_rest(
    operations: FakeOperations,
) -> None:
    elsewhere = (("host", "elsewhere.example"),)
    assert ask(operations, "http://localhost:9000/archive/k%2F", headers=elsewhere).status == 200
    assert operations.last.key == "k/"
    assert operations.last.headers["host"] == "localhost:9000"
    here = (("host", "localhost"),)
    refused = ask(operations, "http://elsewhere.example/archive/k", headers=here)
    assert (refused.status, refused.error["Code"]) == (403, "AccessDenied")
    assert len(operations.asked) == 1


@pytest.mark.parametrize("target", ["/archive?list-type=2", "/archive/?list-type=2"])
def test_list_type_2_lists(operations: FakeOperations, target: str) -> None:
    answer = ask(operations, f"{target}&prefix=a+b%2F%C3%BC%2B&delimiter=%2f&start-after=%ff&x")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/xml"
    assert operations.asked[0][0] == "ListObjectsV2"
    assert operations.last.query == {
        "list-type": "2",
        "prefix": "a b/ü+",
        "delimiter": "/",
        "start-after": "\udcff",
        "x": "",
    }


def test_listing_without_a_type_is_of_version_1(operations: FakeOperations) -> None:
    assert ask(operations, "/archive?prefix=a").status == 200
    assert operations.asked[-1][0] == "ListObjects"


@pytest.mark.parametrize("value", ["", "1", "3", "02", "2x"])
def test_other_list_types_are_of_version_1_too(operations: FakeOperations, value: str) -> None:
    assert ask(operations, f"/archive?list-type={value}").status == 200
    assert operations.asked[-1][0] == "ListObjects"


def test_of_a_repeated_parameter_the_first_counts(operations: FakeOperations) -> None:
    repeated = "list-type=2&prefix=a&prefix=b&list-type=1&prefix=&max-keys&max-keys=1"
    assert ask(operations, f"/archive?{repeated}").status == 200
    assert operations.asked[-1][0] == "ListObjectsV2"
    assert operations.last.query == {"list-type": "2", "prefix": "a", "max-keys": ""}


@pytest.mark.parametrize(
    ("target", "operation"),
    [
        ("/archive?versions&prefix=a", "ListObjectVersions"),
        ("/archive/?versions=", "ListObjectVersions"),
    ],
)
def test_versions_are_listed(operations: FakeOperations, target: str, operation: str) -> None:
    ask(operations, target)
    assert [asked for asked, _ in operations.asked] == [operation]


@pytest.mark.parametrize(
    ("name", "status"),
    [("acl", 200), ("tagging", 200), ("retention", 400), ("legal-hold", 400)],
)
@pytest.mark.parametrize("at_hand", [False, True])
def test_sub_resources_are_of_objects_that_exist(
    operations: FakeOperations, name: str, status: int, *, at_hand: bool
) -> None:
    operations.is_at_hand = at_hand
    headers = (("if-match", '"other"'), ("range", "bytes=0-0"))
    assert ask(operations, f"/archive/k?{name}=value", headers=headers).status == status
    assert [asked for asked, _ in operations.asked] == ["HeadObject"]
    assert (operations.last.key, operations.last.headers) == ("k", {})

    def respond(request: S3Request) -> S3Response:
        raise no_such_key(request.key)

    operations.respond = respond
    missing = ask(operations, f"/archive/k?{name}=value")
    assert (missing.status, missing.error["Code"]) == (404, "NoSuchKey")


@pytest.mark.parametrize("value", ["value", ""])
def test_no_upload_exists_whether_or_not_an_object_does(
    operations: FakeOperations, value: str
) -> None:
    answer = ask(operations, f"/archive/k?uploadId={value}")
    assert (answer.status, answer.error["Code"]) == (404, "NoSuchUpload")
    assert answer.error["UploadId"] == value
    assert operations.asked == []


def test_attributes_are_those_of_the_head(operations: FakeOperations) -> None:
    asked = (("x-amz-object-attributes", "ObjectSize,ETag"),)
    answer = ask(operations, "/archive/k?attributes", headers=asked)
    root = ET.fromstring(answer.body)  # noqa: S314
    assert {element.tag.removeprefix(NAMESPACE): element.text for element in root} == {
        "ETag": "0123-1",
        "ObjectSize": str(len(operations.content)),
    }
    assert answer.headers["last-modified"] == "Mon, 23 Nov 2026 12:30:15 GMT"


@pytest.mark.parametrize(
    "target", ["/archive/k?torrent", "/archive/k?annotation", "/archive?metrics"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_other_sub_resources_are_not_implemented(
    operations: FakeOperations, target: str, method: str
) -> None:
    answer = ask(operations, target, method)
    assert answer.status == 501
    assert method == "HEAD" or answer.error["Parameter"] == target.partition("?")[2]
    assert operations.asked == []


@pytest.mark.parametrize("target", ["/archive/k?acl", "/archive?acl", "/archive/k?uploads"])
def test_no_head_is_of_a_sub_resource(operations: FakeOperations, target: str) -> None:
    assert ask(operations, target, "HEAD").status == 501


def test_one_sub_resource_is_asked_for_at_a_time(operations: FakeOperations) -> None:
    answer = ask(operations, "/archive?versions&acl")
    assert (answer.status, answer.error["Code"]) == (400, "InvalidArgument")
    assert answer.error["Message"] == "Conflicting query string parameters: acl, versions"


def bucket_reads() -> list[str]:
    """Every read of a bucket that botocore knows, but for those that are served."""
    model = botocore.session.get_session().get_service_model("s3")
    names = set(model.operation_names) - {"ListObjects", "ListObjectsV2", "GetBucketLocation"}
    https = [model.operation_model(name).http for name in sorted(names)]
    uris = {http["requestUri"] for http in https if http["method"] == "GET"}
    return sorted(uri for uri in uris if "Bucket" in uri and "Key" not in uri)


@pytest.mark.parametrize("uri", bucket_reads())
def test_no_other_read_of_the_bucket_passes_for_a_listing(
    operations: FakeOperations, uri: str
) -> None:
    ask(operations, uri.replace("{Bucket}", "archive"))
    assert "ListObjects" not in {asked for asked, _ in operations.asked}


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "CONNECT", "X"])
@pytest.mark.parametrize("target", ["/", "/archive", "/archive/k", "/archive/k?uploads", "/other"])
def test_whatever_does_not_read_is_not_allowed(
    operations: FakeOperations, target: str, method: str
) -> None:
    answer = ask(operations, target, method, verifier=Verifier(KEYS))
    assert (answer.status, answer.error["Code"]) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "GET, HEAD"
    assert operations.asked == []


def test_there_is_no_head_of_the_service(operations: FakeOperations) -> None:
    answer = ask(operations, "/", "HEAD")
    assert (answer.status, answer.headers["allow"], answer.body) == (405, "GET", b"")


# ---- Keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ("a%20b/%C3%BC%2B%25%3F%23%26%3D.txt", "a b/ü+%?#&=.txt"),
        ("a+b", "a+b"),
        ("x//y", "x//y"),
        ("/x", "/x"),
        ("./../z/.", "./../z/."),
        ("a%2Fb%2f", "a/b/"),
        ("%ff%FE", "\udcff\udcfe"),
        ("%00", "\0"),
        ("archive/archive", "archive/archive"),
        ("a:b@c;d=e,f$g*h(i)!'~", "a:b@c;d=e,f$g*h(i)!'~"),
    ],
)
def test_a_key_is_the_decoded_path_and_nothing_else(
    operations: FakeOperations, raw: str, key: str
) -> None:
    assert ask(operations, f"/archive/{raw}?partNumber=1").status == 200
    assert operations.last.key == key
    assert operations.last.query == {"partNumber": "1"}


@pytest.mark.parametrize(
    "target",
    ["*", "archive/k", "/archive/%", "/archive/%zz", "", "http://", "http:///archive/k", "h:80"],
)
def test_a_target_that_is_no_path_is_an_invalid_uri(
    operations: FakeOperations, target: str
) -> None:
    answer = ask(operations, target)
    assert (answer.status, answer.error["Code"]) == (400, "InvalidURI")


def test_headers_reach_the_operations_by_lower_case_name(operations: FakeOperations) -> None:
    headers = (("range", "bytes=0-1"), ("x-amz-meta-a", "1"), ("b", ""), ("x-amz-meta-a", "2"))
    ask(operations, "/archive/k", headers=headers)
    assert operations.last.headers == {"range": "bytes=0-1", "x-amz-meta-a": "1,2", "b": ""}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("field", [("content-length", "1"), ("transfer-encoding", "chunked")])
def test_a_read_with_a_body_is_refused(
    operations: FakeOperations, method: str, field: tuple[str, str]
) -> None:
    assert ask(operations, "/archive/k", method, headers=(field,)).status == 400
    assert operations.asked == []
    none = (("content-length", "0"),)
    assert ask(operations, "/archive/k", method, headers=none).status == 200
