"""Programs that read S3."""

from __future__ import annotations

import json
import re
from typing import ClassVar
from urllib.parse import quote
from xml.etree import ElementTree as ET

from tests.clients.conftest import BUCKET, CREDENTIALS
from tests.clients.reader import Reader
from tests.clients.running import first_url, program, run

REGION = "us-east-1"


class AwsCli(Reader):
    transfers_with: ClassVar[str] = "classic"

    def aws(self, *command: str) -> bytes:
        config = self.directory / "config"
        config.write_text(f"[default]\ns3 =\n  preferred_transfer_client = {self.transfers_with}\n")
        environ = self.endpoint.environ | {"AWS_CONFIG_FILE": str(config), "PATH": "/usr/bin:/bin"}
        return run(program("aws"), *command, environ=environ)

    def api(self, operation: str, *arguments: str) -> dict[str, object]:
        answer: dict[str, object] = json.loads(
            self.aws("s3api", operation, "--bucket", BUCKET, "--output", "json", *arguments)
        )
        return answer

    def keys(self, prefix: str) -> dict[str, int]:
        listed = self.aws("s3", "ls", "--recursive", f"s3://{BUCKET}/{prefix}").decode()
        lines = (line.split(None, 3) for line in listed.splitlines())
        return {key: int(size) for _, _, size, key in lines}

    def get(self, key: str) -> bytes:
        target = self.directory / "copied"
        self.aws("s3", "cp", f"s3://{BUCKET}/{key}", str(target))
        return target.read_bytes()

    def part(self, key: str, start: int, stop: int) -> bytes:
        target = self.directory / "part"
        self.api("get-object", "--key", key, "--range", f"bytes={start}-{stop - 1}", str(target))
        return target.read_bytes()

    def size(self, key: str) -> int:
        size = self.api("head-object", "--key", key)["ContentLength"]
        assert isinstance(size, int)
        return size

    def url(self, key: str) -> str:
        return first_url(self.aws("s3", "presign", f"s3://{BUCKET}/{key}").decode())


class AwsCliCrt(AwsCli):
    """Whose copies the AWS Common Runtime makes, in parts at the same time."""

    cannot = frozenset({"keys", "part", "size", "url"})  # what it leaves to the other
    transfers_with = "crt"


class Rclone(Reader):
    def rclone(self, *command: str) -> bytes:
        environ = {
            "HOME": str(self.directory),
            "RCLONE_CONFIG_SERVED_TYPE": "s3",
            "RCLONE_CONFIG_SERVED_PROVIDER": "Other",
            "RCLONE_CONFIG_SERVED_ENDPOINT": self.endpoint.url,
            "RCLONE_CONFIG_SERVED_ACCESS_KEY_ID": CREDENTIALS.access_key,
            "RCLONE_CONFIG_SERVED_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
        }
        return run(program("rclone"), *command, environ=environ)

    def keys(self, prefix: str) -> dict[str, int]:
        where = f"served:{BUCKET}/{prefix}"
        listed = json.loads(self.rclone("lsjson", "--recursive", "--files-only", where))
        return {prefix + found["Path"]: found["Size"] for found in listed}

    def get(self, key: str) -> bytes:
        target = self.directory / "copied"
        self.rclone("copyto", f"served:{BUCKET}/{key}", str(target))
        return target.read_bytes()

    def part(self, key: str, start: int, stop: int) -> bytes:
        part = ("--offset", str(start), "--count", str(stop - start))
        return self.rclone("cat", *part, f"served:{BUCKET}/{key}")

    def size(self, key: str) -> int:
        found: dict[str, int] = json.loads(
            self.rclone("lsjson", "--stat", f"served:{BUCKET}/{key}")
        )
        return found["Size"]

    def url(self, key: str) -> str:
        return first_url(self.rclone("link", "--expire", "60s", f"served:{BUCKET}/{key}").decode())


class S5cmd(Reader):
    cannot = frozenset({"part"})

    def s5cmd(self, *command: str) -> bytes:
        server = ("--endpoint-url", self.endpoint.url)
        return run(program("s5cmd"), *server, *command, environ=self.endpoint.environ)

    def keys(self, prefix: str) -> dict[str, int]:
        lines = self.s5cmd("--json", "ls", f"s3://{BUCKET}/{prefix}*").decode().splitlines()
        found = [json.loads(line) for line in lines]
        start = f"s3://{BUCKET}/"
        return {each["key"].removeprefix(start): each.get("size", 0) for each in found}

    def get(self, key: str) -> bytes:
        target = self.directory / "copied"
        self.s5cmd("cp", "--raw", f"s3://{BUCKET}/{key}", str(target))
        return target.read_bytes()

    def size(self, key: str) -> int:
        found: dict[str, int] = json.loads(self.s5cmd("head", f"s3://{BUCKET}/{key}"))
        return found.get("size", 0)

    def url(self, key: str) -> str:
        return first_url(self.s5cmd("presign", f"s3://{BUCKET}/{key}").decode())


class S3cmd(Reader):
    cannot = frozenset({"part"})

    def s3cmd(self, *command: str) -> bytes:
        host = self.endpoint.url.removeprefix("http://")
        config = self.directory / "s3cfg"
        config.write_text(
            f"[default]\naccess_key = {CREDENTIALS.access_key}\n"
            f"secret_key = {CREDENTIALS.secret_key}\n"
            f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
        )
        environ = {"HOME": str(self.directory), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        return run(program("s3cmd"), "--config", str(config), *command, environ=environ)

    def keys(self, prefix: str) -> dict[str, int]:
        listed = self.s3cmd("ls", "--recursive", f"s3://{BUCKET}/{prefix}").decode()
        lines = (line.split(None, 3) for line in listed.splitlines())
        return {name.removeprefix(f"s3://{BUCKET}/"): int(size) for _, _, size, name in lines}

    def get(self, key: str) -> bytes:
        target = self.directory / "copied"
        self.s3cmd("get", f"s3://{BUCKET}/{key}", str(target))
        return target.read_bytes()

    def size(self, key: str) -> int:
        found = re.search(r"File size: +(\d+)", self.s3cmd("info", f"s3://{BUCKET}/{key}").decode())
        assert found
        return int(found[1])

    def url(self, key: str) -> str:
        return first_url(self.s3cmd("signurl", f"s3://{BUCKET}/{key}", "+60").decode())


class Curl(Reader):
    """Which signs with `--aws-sigv4`; what it sends besides is up to whoever calls it."""

    cannot = frozenset({"url"})

    def curl(self, target: str, *options: str) -> bytes:
        key = f"{CREDENTIALS.access_key}:{CREDENTIALS.secret_key}"
        # curl signs the path as it is given, and of a body no hash unless told.
        signing = ("--aws-sigv4", f"aws:amz:{REGION}:s3", "--user", key)
        unsigned = ("--header", "x-amz-content-sha256: UNSIGNED-PAYLOAD")
        command = ("curl", "--silent", "--show-error", "--fail", *signing, *unsigned, *options)
        return run(*command, self.base + target, environ={"PATH": "/usr/bin:/bin"})

    @property
    def base(self) -> str:
        return f"{self.endpoint.url}/{BUCKET}"

    def keys(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        while True:
            after = quote(next(reversed(found), ""), safe="")
            query = f"list-type=2&prefix={quote(prefix, safe='')}&start-after={after}"
            page = ET.fromstring(self.curl(f"?{query}"))  # noqa: S314 -- ours
            for each in page.iterfind("{*}Contents"):
                found[each.findtext("{*}Key") or ""] = int(each.findtext("{*}Size") or "")
            if page.findtext("{*}IsTruncated") == "false":
                return found

    def get(self, key: str) -> bytes:
        return self.curl(f"/{quote(key)}")

    def part(self, key: str, start: int, stop: int) -> bytes:
        return self.curl(f"/{quote(key)}", "--range", f"{start}-{stop - 1}")

    def size(self, key: str) -> int:
        head = self.curl(f"/{quote(key)}", "--head").decode()
        found = re.search(r"(?i)content-length: (\d+)", head)
        assert found
        return int(found[1])


class CurlByHost(Curl):
    @property
    def base(self) -> str:
        return self.endpoint.url.replace("://", f"://{BUCKET}.")


PROGRAMS = (AwsCli, AwsCliCrt, Rclone, S5cmd, S3cmd, Curl, CurlByHost)
