"""Where the access keys come from."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from botocore.credentials import Credentials

from s3archivefs_lambda.commands.endpoint_settings import KEYS_FILE, KEYS_SECRET
from s3archivefs_lambda.commands.errors import UsageError
from s3archivefs_lambda.commands.key_sources import key_source, tell_of_unserved
from s3archivefs_lambda.endpoint.access_keys import AccessKey, AccessKeys
from s3archivefs_lambda.endpoint.application import make_app
from s3archivefs_lambda.endpoint.authentication import Verifier
from s3archivefs_lambda.endpoint.bucket_operations import ServedBucket
from tests.support.adapter.asked_application import answer_of
from tests.support.adapter.fake_operations import FakeOperations
from tests.support.adapter.signed_requests import presigned, signed
from tests.support.servers.loopback_server import Handler, LoopbackServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.adapter.signed_requests import Sent

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
DOCUMENT = json.dumps([{"id": "ONE", "secret": SECRET, "prefixes": ["docs", "s3://maps/a"]}])
KEYS = [AccessKey("ONE", SECRET, {"books": ("docs/",), "maps": ("a/",)})]
PAIR = {
    "S3ARCHIVEFS_ENDPOINT_ACCESS_KEY_ID": "ONE",
    "S3ARCHIVEFS_ENDPOINT_SECRET_ACCESS_KEY": SECRET,
}
ARN = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:endpoint/keys-AbCdEf"


class SecretsManager(Handler):
    """Answers GetSecretValue with what a test wants."""

    answer: ClassVar[tuple[int, dict[str, Any]]] = (200, {})
    asked: ClassVar[list[tuple[str, dict[str, Any], str]]] = []

    def do_POST(self) -> None:  # noqa: N802 -- the base's name
        question = json.loads(b"".join(self.body()))
        target = self.headers["X-Amz-Target"]
        region = self.headers["Authorization"].split("/")[2]
        self.asked.append((target, question, region))
        status, members = self.answer
        content = json.dumps(members).encode()
        self.reply(status, {"Content-Type": "application/x-amz-json-1.1"}, content)


@pytest.fixture
def secrets_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SecretsManager]]:
    SecretsManager.asked.clear()
    with LoopbackServer(SecretsManager) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
        monkeypatch.setenv("AWS_REGION", "eu-west-1")
        yield SecretsManager


def test_without_any_there_is_no_source() -> None:
    assert key_source({}, {}) is None


def test_the_pair_of_variables_is_one_key_that_reads_everything() -> None:
    source = key_source({}, PAIR)
    assert source
    assert list(source.load("books")) == [AccessKey("ONE", SECRET)]
    assert not source.may_change


@pytest.mark.parametrize("signing", [signed, presigned])
@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        *(
            ("ONE", text)
            for text in ("a long random string", "minio12", "pässwörter-lang", "a\tb,/")
        ),
        *(("ONE", text) for text in ("x", " x ", "two\nlines", "long" * 100)),
        *((text, SECRET) for text in ("x", "a@b:c=d", "long" * 100)),
    ],
)
def test_a_pair_that_clients_can_sign_with_is_taken(
    access_key_id: str, secret: str, signing: Callable[..., Sent]
) -> None:
    source = key_source({}, dict(zip(PAIR, (access_key_id, secret), strict=True)))
    assert source
    app = make_app(
        {"books": ServedBucket(FakeOperations())}, verifier=Verifier(source.load("books"))
    )
    sent = signing("/books/docs/a", credentials=Credentials(access_key_id, secret))
    assert answer_of(app, sent.target, "GET", tuple(sent.headers.items())).status == 200


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        *(
            (text, SECRET)
            for text in ("A,B", "A/B", "A B", " ", "A\tB", "A\x7f", "ONE\n", "ONE\r\n")
        ),
        *(("ONE", text) for text in (f"{SECRET}\n", f"{SECRET}\r\n", f"{SECRET}\r", "\n")),
    ],
)
def test_a_pair_that_no_client_can_sign_with_is_refused(access_key_id: str, secret: str) -> None:
    pair = dict(zip(PAIR, (access_key_id, secret), strict=True))
    (faulty,) = [name for name in pair if pair[name] != PAIR[name]]
    with pytest.raises(UsageError, match=f"^{faulty}: leave out ") as caught:
        key_source({}, pair)
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_prefixes_in_a_bucket_that_is_not_served_are_told(caplog: pytest.LogCaptureFixture) -> None:
    every = AccessKey("TWO", SECRET)
    tell_of_unserved(AccessKeys([*KEYS, every]), {"books", "maps"})
    assert caplog.messages == []
    tell_of_unserved(AccessKeys([*KEYS, every]), {"books"})
    (line,) = caplog.messages
    assert line == "access key ONE: its prefixes name the bucket maps, which is not served"


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.touch(0o600)
    file.write_text(DOCUMENT)
    source = key_source({KEYS_FILE: str(file)}, {})
    assert source
    assert source.may_change
    assert list(source.load("books")) == KEYS
    file.write_text("[]")
    with pytest.raises(UsageError, match=f"^{file}: there is no key in it"):
        source.load("books")
    file.chmod(0o644)
    with pytest.raises(UsageError, match=f"chmod 600 {file}"):
        source.load("books")


@pytest.mark.parametrize(("name", "region"), [("endpoint/keys", "eu-west-1"), (ARN, "eu-north-1")])
def test_a_secret_is_asked_for_in_its_region(
    secrets_manager: type[SecretsManager], name: str, region: str
) -> None:
    secrets_manager.answer = (200, {"Name": name, "SecretString": DOCUMENT})
    source = key_source({KEYS_SECRET: name}, {})
    assert source
    assert source.may_change
    assert list(source.load("books")) == KEYS
    assert secrets_manager.asked == [("secretsmanager.GetSecretValue", {"SecretId": name}, region)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((400, {"__type": "ResourceNotFoundException", "message": "none"}), "ResourceNotFound"),
        ((400, {"__type": "AccessDeniedException", "Message": "not you"}), "not you"),
        ((200, {"SecretBinary": "AAAA"}), "has no text"),
        ((200, {"SecretString": f'{{"id": "{SECRET}'}), "is not JSON: line 1"),
        ((200, {"SecretString": json.dumps([{"id": "A", "key": SECRET}])}), "no such member"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_on_one_line(
    secrets_manager: type[SecretsManager], answer: tuple[int, dict[str, Any]], said: str
) -> None:
    secrets_manager.answer = answer
    source = key_source({KEYS_SECRET: "endpoint/keys"}, {})
    assert source
    with pytest.raises(UsageError) as caught:
        source.load("books")
    told = str(caught.value)
    assert told.startswith("the secret endpoint/keys: ")
    assert said in told
    assert "\n" not in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/none/such", "/none/such"),
        ("FOLDER/config/x", "config/x"),
        ("sh -c 'echo one >&2; echo two >&2; exit 1'", "one two"),
        ("echo []", "AttributeError"),
        ("", "IndexError"),
    ],
)
def test_a_secret_that_no_credentials_can_be_had_for_is_named_on_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, said: str
) -> None:
    config = tmp_path / "config"
    program = program.replace("FOLDER", str(tmp_path))
    config.write_text(f"[profile a]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "a")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    source = key_source({KEYS_SECRET: "endpoint/keys"}, {})
    assert source
    with pytest.raises(UsageError, match=r"^the secret endpoint/keys: cannot be read: ") as caught:
        source.load("books")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_needs_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    source = key_source({KEYS_SECRET: "x"}, {})
    assert source
    with pytest.raises(UsageError, match=r"needs botocore: pip install 's3archivefs\[lambda\]'"):
        source.load("books")


def test_keys_come_from_one_place() -> None:
    both = {KEYS_FILE: "a", KEYS_SECRET: "b"}
    with pytest.raises(UsageError, match=r"KEYS_FILE, S3ARCHIVEFS_ENDPOINT_KEYS_SECRET$"):
        key_source(both, {})
    with pytest.raises(UsageError, match=r"KEYS_FILE, S3\w+_KEY_ID with S3\w+") as told:
        key_source({KEYS_FILE: "a"}, PAIR)
    assert SECRET not in str(told.value)
