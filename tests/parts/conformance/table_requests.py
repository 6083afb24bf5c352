"""Who may ask, for which bucket and object, and how it is said that something is wrong."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from tests.parts.conformance import wire
from tests.parts.conformance.cases import ANYTHING, Case, Scope
from tests.parts.conformance.keys import BUCKET
from tests.parts.conformance.wire import HOUR, Request

FOO = Request(key="objects/foo")
MISSING = "objects/nothing"
NO_KEY = "The specified key does not exist."
NO_BUCKET = "The specified bucket does not exist"
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def asked(case: str, request: Request, scope: Scope = Scope.SIGNED, **expected: Any) -> Case:  # noqa: ANN401 -- fields of Case
    """A case of servers that check signatures, unless said."""
    return Case(id=case, request=request, scope=scope, **expected)


def of_foo(**changes: object) -> Request:
    """GetObject of an object that is there."""
    return Request(key="objects/foo", **changes)  # type: ignore[arg-type]  # Request's fields


def no_such_key(case: str, scope: Scope = Scope.SIGNED, **request: object) -> Case:
    """A request for an object that is not there."""
    return asked(
        case,
        Request(key=MISSING, **request),  # type: ignore[arg-type]  # Request's fields
        scope,
        status=404,
        code="NoSuchKey",
        message=NO_KEY,
        details={"Key": MISSING},
    )


def no_such_bucket(case: str, scope: Scope = Scope.SIGNED, **request: object) -> Case:
    """A request for a bucket that is not there."""
    return asked(
        case,
        Request(bucket="gone-bucket", **request),  # type: ignore[arg-type]  # Request's fields
        scope,
        status=404,
        code="NoSuchBucket",
        message=NO_BUCKET,
        details={"BucketName": "gone-bucket"},
    )


def denied(case: str, request: Request, message: str = "Access Denied", **details: object) -> Case:
    """A request that this client may not make."""
    return asked(case, request, status=403, code="AccessDenied", message=message, details=details)


# ---- Buckets and keys ----------------------------------------------------------------------------

MISSES = (
    no_such_key("test_object_read_not_exist", Scope.ANY),
    no_such_key("head test_object_read_not_exist", Scope.ANY, method="HEAD"),
    no_such_key("test_object_raw_authenticated_object_gone"),
    no_such_key("test_object_raw_get_object_gone", Scope.OPEN, auth=wire.anonymous),
    no_such_bucket("test_bucket_notexist"),
    no_such_bucket("test_bucketv2_notexist", query={"list-type": "2"}),
    no_such_bucket("test_bucket_head_notexist", method="HEAD"),
    no_such_bucket("test_object_raw_authenticated_bucket_gone", key="foo"),
    no_such_bucket("test_object_raw_get_bucket_gone", Scope.OPEN, key="foo", auth=wire.anonymous),
    no_such_bucket("no such bucket for nobody", auth=wire.anonymous),
    no_such_bucket("no object in no such bucket for nobody", key="foo", auth=wire.anonymous),
    no_such_key("test_object_requestid_matches_header_on_error", Scope.SIGNED),
)

BUCKETS = (
    asked("test_bucket_head", Request(method="HEAD"), headers={"x-amz-request-id": ANYTHING}),
    asked("the region of the bucket", Request(method="HEAD"), Scope.ENDPOINT,
          headers={"x-amz-bucket-region": "us-east-1"}),
    asked("max-buckets of 0", Request(path="/", query={"max-buckets": "0"}), status=400,
          code="InvalidArgument", details={"ArgumentName": "max-buckets", "ArgumentValue": "0"}),
    asked("a token for buckets that is malformed",
          Request(path="/", query={"continuation-token": "x"}), status=400, code="InvalidArgument"),
    asked("test_bucket_get_location", Request(query={"location": ""}),
          headers={"Content-Type": re.compile("application/xml.*")}),
)  # fmt: skip

# ---- Signatures ----------------------------------------------------------------------------------

WRONG_SIGNATURE: dict[str, Any] = {
    "status": 403,
    "code": "SignatureDoesNotMatch",
    "details": {
        "AWSAccessKeyId": ANYTHING,
        "StringToSign": re.compile(r"AWS4-HMAC-SHA256\n[^\n]+\n[^\n]+\n[0-9a-f]{64}"),
        "StringToSignBytes": ANYTHING,
        "SignatureProvided": re.compile("[0-9a-f]{64}"),
        "CanonicalRequest": re.compile("GET\n/.*", re.DOTALL),
        "CanonicalRequestBytes": ANYTHING,
    },
}
UNKNOWN_KEY: dict[str, Any] = {
    "status": 403,
    "code": "InvalidAccessKeyId",
    "details": {"AWSAccessKeyId": "NOBODY"},
}
SKEWED: dict[str, Any] = {
    "status": 403,
    "code": "RequestTimeTooSkewed",
    "details": {
        "RequestTime": ANYTHING,
        "ServerTime": ISO_TIME,
        "MaxAllowedSkewMilliseconds": "900000",
    },
}
MALFORMED_QUERY: dict[str, Any] = {"status": 400, "code": "AuthorizationQueryParametersError"}

SIGNATURES = (
    asked("test_object_raw_authenticated", FOO, body=b"bar"),
    asked("test_object_raw_get", of_foo(auth=wire.anonymous), Scope.OPEN, body=b"bar"),
    asked("test_list_buckets_bad_auth", Request(path="/", auth=wire.with_wrong_secret),
          **WRONG_SIGNATURE),
    asked("test_list_buckets_invalid_auth", Request(path="/", auth=wire.with_unknown_key),
          **UNKNOWN_KEY),
    asked("object with a wrong secret", of_foo(auth=wire.with_wrong_secret), **WRONG_SIGNATURE),
    asked("object with an unknown key", of_foo(auth=wire.with_unknown_key), **UNKNOWN_KEY),
    asked("a signature of an hour ago", of_foo(auth=wire.signed_at(-HOUR)), **SKEWED),
    asked("a signature of the next hour", of_foo(auth=wire.signed_at(HOUR)), **SKEWED),
    asked("the time in the Date header", of_foo(auth=wire.signed_with(("Date", ""))), body=b"bar"),
    asked("repeated headers, signed",
          of_foo(auth=wire.signed_with(("x-amz-meta-a", "1"), ("x-amz-meta-a", "2"))), body=b"bar"),
    asked("Expect, signed", of_foo(auth=wire.signed_with(("Expect", "100-continue"))), body=b"bar"),
    asked("authorization that is none", of_foo(auth=wire.with_authorization("garbage")),
          status=400, code="InvalidArgument", message="Unsupported Authorization Type"),
    asked("authorization without a signature",
          of_foo(auth=wire.with_authorization("AWS4-HMAC-SHA256 Credential=a/b"),
                 headers={"x-amz-date": "20260101T000000Z"}),
          status=400, code="AuthorizationHeaderMalformed"),
    denied("test_bucket_list_objects_anonymous_fail", Request(auth=wire.anonymous)),
    denied("test_bucket_listv2_objects_anonymous_fail",
           Request(query={"list-type": "2"}, auth=wire.anonymous)),
    denied("object for nobody", of_foo(auth=wire.anonymous)),
    denied("missing object for nobody", Request(key=MISSING, auth=wire.anonymous)),
)  # fmt: skip

PRESIGNED = (
    asked("presigned", of_foo(auth=wire.presigned()), body=b"bar"),
    asked("test_object_raw_get_x_amz_expires_not_expired", of_foo(auth=wire.presigned(100_000)),
          body=b"bar"),
    denied("test_object_raw_get_x_amz_expires_out_range_zero",
           of_foo(auth=wire.presigned(0, -timedelta(seconds=2))), "Request has expired"),
    # ceph/s3-tests expects 403 of the next two; AWS says 400 of all that is malformed in the query.
    asked("test_object_raw_get_x_amz_expires_out_max_range", of_foo(auth=wire.presigned(609_901)),
          **MALFORMED_QUERY),
    asked("test_object_raw_get_x_amz_expires_out_positive_range", of_foo(auth=wire.presigned(-7)),
          **MALFORMED_QUERY),
    denied("presigned an hour ago for half an hour", of_foo(auth=wire.presigned(1800, -HOUR)),
           "Request has expired", **{"X-Amz-Expires": "1800", "Expires": ISO_TIME,
                                     "ServerTime": ISO_TIME}),
    asked("presigned without a parameter", of_foo(auth=wire.presigned_without_expires),
          **MALFORMED_QUERY, message="Query-string authentication version 4 requires the "
          "X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, "
          "and X-Amz-Expires parameters."),
    asked("presigned and signed", of_foo(auth=wire.presigned_and_signed), status=400,
          code="InvalidArgument"),
)  # fmt: skip

# The texts are those of Amazon S3 that its clients report, and the two servers know.
WRONG_SIGNATURE_OF_VERSION_2: dict[str, Any] = {
    "status": 403,
    "code": "SignatureDoesNotMatch",
    "details": {
        "AWSAccessKeyId": ANYTHING,
        "StringToSign": re.compile(r"[A-Z]+\n\n\n\d+\n/.*"),
        "StringToSignBytes": ANYTHING,
        "SignatureProvided": re.compile("[0-9A-Za-z+/]{27}="),
    },
}
OVERRIDE = {"response-content-type": "text/a b"}


def version_2(expires: str | timedelta = HOUR, **how: str) -> Request:
    """GetObject with an override, presigned."""
    return of_foo(auth=wire.presigned_in_version_2(expires, **how), query=OVERRIDE)


def no_time(expires: str) -> Case:
    """A link that is good until what S3 takes for no time."""
    return denied(f"presigned in version 2 until {expires}", version_2(expires),
                  f"Invalid date (should be seconds since epoch): {expires}")  # fmt: skip


PRESIGNED_IN_VERSION_2 = (
    asked("presigned in version 2", version_2(), body=b"bar",
          headers={"Content-Type": "text/a b"}),
    asked("presigned in version 2 until the times end", version_2(str(2**31 - 1)), body=b"bar"),
    asked("presigned in version 2 for HEAD",
          Request(method="HEAD", key="objects/foo", auth=wire.presigned_in_version_2())),
    asked("presigned in version 2, of the bucket",
          Request(query={"list-type": "2"}, auth=wire.presigned_in_version_2())),
    asked("presigned in version 2 for GET, asked by HEAD",
          Request(method="HEAD", key="objects/foo",
                  auth=wire.presigned_in_version_2(method="GET")), status=403),
    asked("presigned in version 2 for HEAD, asked by GET", version_2(method="HEAD"),
          **WRONG_SIGNATURE_OF_VERSION_2),
    asked("presigned in version 2, an override added",
          version_2(more="&response-cache-control=x"), **WRONG_SIGNATURE_OF_VERSION_2),
    asked("presigned in version 2, a version added", version_2(more="&versionId=x"),
          **WRONG_SIGNATURE_OF_VERSION_2),
    denied("presigned in version 2 until an hour ago", version_2(-HOUR), "Request has expired",
           Expires=ISO_TIME, ServerTime=ISO_TIME),
    no_time(str(2**31)),
    no_time("never"),
    *(
        denied(f"presigned in version 2 without {name}", version_2(without=name),
               "Query-string authentication requires the Signature, Expires and AWSAccessKeyId "
               "parameters")
        for name in ("Expires", "Signature", "AWSAccessKeyId")
    ),
    asked("presigned in version 2 and in version 4",
          version_2(more="&X-Amz-Algorithm=AWS4-HMAC-SHA256"), status=400, code="InvalidArgument"),
)  # fmt: skip

# ---- What a bucket that is only read does not do -------------------------------------------------

OTHERS = (
    *(
        asked(
            f"{method} of an object",
            Request(method=method, key="objects/foo"),
            Scope.ENDPOINT,
            status=405,
            code="MethodNotAllowed",
            message="The specified method is not allowed against this resource.",
        )
        for method in ("PUT", "POST", "DELETE")
    ),
    *(
        asked(f"{name} of a bucket", Request(query={name: ""}), Scope.ENDPOINT)
        for name in (
            *("acl", "accelerate", "logging", "notification", "requestPayment", "uploads"),
            *("versioning", "versions"),
        )
    ),
    *(
        asked(f"{name} of a bucket that has none", Request(query={name: ""}), Scope.ENDPOINT,
              status=404, code=code, details={"BucketName": BUCKET})
        for name, code in {
            "cors": "NoSuchCORSConfiguration",
            "encryption": "ServerSideEncryptionConfigurationNotFoundError",
            "lifecycle": "NoSuchLifecycleConfiguration",
            "object-lock": "ObjectLockConfigurationNotFoundError",
            "ownershipControls": "OwnershipControlsNotFoundError",
            "policy": "NoSuchBucketPolicy",
            "policyStatus": "NoSuchBucketPolicy",
            "publicAccessBlock": "NoSuchPublicAccessBlockConfiguration",
            "replication": "ReplicationConfigurationNotFoundError",
            "tagging": "NoSuchTagSet",
            "website": "NoSuchWebsiteConfiguration",
        }.items()
    ),
    *(
        asked(f"{name} of an object", of_foo(query={name: ""}), Scope.ENDPOINT)
        for name in ("acl", "tagging")
    ),
    asked("attributes of an object",
          of_foo(query={"attributes": ""}, headers={"x-amz-object-attributes": "ETag,ObjectSize"}),
          Scope.ENDPOINT, headers={"Last-Modified": "{modified}"}),
    asked("attributes of an object, none named", of_foo(query={"attributes": ""}), Scope.ENDPOINT,
          status=400, code="InvalidRequest"),
    no_such_key("the tags of an object that is not there", Scope.ENDPOINT, query={"tagging": ""}),
    asked("a sub-resource that is not served", Request(query={"inventory": ""}), Scope.ENDPOINT,
          status=501, code="NotImplemented"),
    asked("two sub-resources", Request(query={"acl": "", "policy": ""}), Scope.ENDPOINT,
          status=400, code="InvalidArgument",
          message="Conflicting query string parameters: acl, policy"),
    asked("a path with a broken escape", Request(path=f"/{BUCKET}/%zz"), status=400,
          code="InvalidURI", message="Couldn't parse the specified URI."),
)  # fmt: skip

REQUESTS = (*MISSES, *BUCKETS, *SIGNATURES, *PRESIGNED, *PRESIGNED_IN_VERSION_2, *OTHERS)
