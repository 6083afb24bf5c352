"""The signer of the tests, held against botocore's."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.adapter.signed_requests import path_of
from tests.support.adapter.signer import Signer

KEY = botocore.credentials.Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
HOST = "localhost:9000"


@pytest.mark.property
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.sampled_from(["", "p"]))
def test_it_signs_as_botocore_does(key: str, parameter: str) -> None:
    target = path_of(key) + (f"?{parameter}=a%20b" if parameter else "")
    request = botocore.awsrequest.AWSRequest("GET", f"http://{HOST}{target}")
    botocore.auth.S3SigV4Auth(KEY, "s3", "eu-west-1").add_auth(request)
    timestamp = request.context["timestamp"]
    signer = Signer(
        access_key_id=KEY.access_key, secret=KEY.secret_key, region="eu-west-1", now=at(timestamp)
    )
    ours = signer.header("GET", target, {"host": HOST})["authorization"]
    assert signature(ours) == signature(request.headers["Authorization"])


def at(timestamp: str) -> float:

    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def signature(authorization: str) -> str:
    return authorization.rpartition("Signature=")[2]
