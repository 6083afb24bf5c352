"""The AWS SDKs for JavaScript, in Node.js: programs that stand beside this file.

`TESTS_NODE_MODULES` names the folder with what package.json asks for.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

from tests.clients.conftest import BUCKET
from tests.clients.reader import Reader
from tests.clients.running import run

HERE = Path(__file__).parent


class Sdk3(Reader):
    program: ClassVar[str] = "sdk3.mjs"
    style: ClassVar[str] = "virtual"

    def node(self, *arguments: str) -> bytes:
        # Modules are looked up from where a program lies.
        (self.directory / "node_modules").unlink(missing_ok=True)
        (self.directory / "node_modules").symlink_to(os.environ["TESTS_NODE_MODULES"])
        copy = shutil.copy(HERE / self.program, self.directory)
        environ = self.endpoint.environ | {
            "PATH": os.environ["PATH"],
            "STYLE": self.style,
            "AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE": "1",
        }
        resolving = ("--require", str(HERE / "localhost.cjs"))
        return run("node", *resolving, str(copy), *arguments, environ=environ)

    def keys(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = json.loads(self.node("keys", BUCKET, prefix))
        return found

    def get(self, key: str) -> bytes:
        return self.node("get", BUCKET, key)

    def part(self, key: str, start: int, stop: int) -> bytes:
        return self.node("get", BUCKET, key, f"bytes={start}-{stop - 1}")

    def size(self, key: str) -> int:
        return int(self.node("size", BUCKET, key))

    def url(self, key: str) -> str:
        return self.node("url", BUCKET, key).decode()


class Sdk3ByPath(Sdk3):
    style = "path"


class Sdk2(Sdk3):
    program = "sdk2.mjs"


class Sdk2ByPath(Sdk2):
    style = "path"


JAVASCRIPT = (Sdk3, Sdk3ByPath, Sdk2, Sdk2ByPath)
