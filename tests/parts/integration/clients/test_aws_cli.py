"""The real AWS CLI through `s3archivefs serve`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.parts.integration.clients.conftest import contents
from tests.support.servers.transports import BUCKET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parts.integration.clients.conftest import Program
    from tests.support.servers.transports import Transport

REFUSED = 255
"""The CLI's exit status where the service answers with an error."""


def test_ls_shows_names_sizes_and_directories(aws: Program, tree: Path) -> None:
    done = aws("s3", "ls", f"s3://{BUCKET}/library/json/")
    shown = {line.split()[-1]: line.split()[-2] for line in done.stdout.splitlines()}
    assert shown == {path.name: str(path.stat().st_size) for path in (tree / "json").iterdir()}


def test_recursive_ls_shows_every_key_and_size(aws: Program, objects: dict[str, Path]) -> None:
    done = aws("s3", "ls", "--recursive", f"s3://{BUCKET}")
    # One name holds a line's end.
    shown = re.findall(r"^[\d-]{10} [\d:]{8} +(\d+) (.*(?:\nline)?)$", done.stdout, re.MULTILINE)
    assert shown == [(str(path.stat().st_size), key) for key, path in objects.items()]


def test_cp_copies_a_file(aws: Program, tree: Path, tmp_path: Path) -> None:
    aws("s3", "cp", f"s3://{BUCKET}/library/os.py", str(tmp_path / "os.py"))
    assert (tmp_path / "os.py").read_bytes() == (tree / "os.py").read_bytes()


@pytest.mark.parametrize("prefix", ["library", "sample", "sample/odd names"])
def test_sync_copies_every_file_below_a_prefix_and_none_twice(
    aws: Program, tree: Path, sample: Path, tmp_path: Path, prefix: str
) -> None:
    sync = ("s3", "sync", f"s3://{BUCKET}/{prefix}/", str(tmp_path))
    aws(*sync, "--quiet")
    mapping, _, below = prefix.partition("/")
    assert contents(tmp_path) == contents({"library": tree, "sample": sample}[mapping] / below)
    again = aws(*sync)
    assert again.stdout == ""  # times and sizes are those of the listing: nothing is copied twice


def test_get_object_with_a_range(aws: Program, tree: Path, tmp_path: Path) -> None:
    key = ("--bucket", BUCKET, "--key", "library/os.py")
    done = aws("s3api", "get-object", *key, "--range", "bytes=100-299", str(tmp_path / "part"))
    content = (tree / "os.py").read_bytes()
    assert (tmp_path / "part").read_bytes() == content[100:300]
    assert json.loads(done.stdout)["ContentRange"] == f"bytes 100-299/{len(content)}"


def test_head_object(aws: Program, tree: Path) -> None:
    done = aws("s3api", "head-object", "--bucket", BUCKET, "--key", "library/os.py")
    assert json.loads(done.stdout)["ContentLength"] == (tree / "os.py").stat().st_size


def test_presigned_urls_open_as_the_cli_makes_them(
    aws: Program, tree: Path, endpoint: Transport
) -> None:
    made = aws("s3", "presign", f"s3://{BUCKET}/library/os.py", "--region", "us-east-1")
    url = made.stdout.strip()
    assert "AWSAccessKeyId=" in url  # Signature Version 2, with its defaults
    with urlopen(url) as response:  # noqa: S310 -- it is http
        assert response.read() == (tree / "os.py").read_bytes()
    with pytest.raises(HTTPError) as refused:
        urlopen(url.replace("os.py", "ast.py"))  # noqa: S310 -- likewise
    with refused.value as answer:
        assert answer.code == 403


@pytest.mark.parametrize(
    "command",
    [
        ("s3api", "put-object", "--bucket", BUCKET, "--key", "library/new"),
        ("s3api", "delete-object", "--bucket", BUCKET, "--key", "library/os.py"),
        ("s3api", "create-multipart-upload", "--bucket", BUCKET, "--key", "library/new"),
    ],
)
def test_writing_is_method_not_allowed(aws: Program, command: tuple[str, ...]) -> None:
    done = aws(*command, status=REFUSED)
    assert "MethodNotAllowed" in done.stderr
