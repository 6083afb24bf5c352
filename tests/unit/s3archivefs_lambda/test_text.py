"""Words of a shell and text of header fields come to whom they are for as they were meant."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from s3archivefs_lambda.commands.upload_leftovers import abort_command
from s3archivefs_lambda.store.errors import object_url
from s3archivefs_lambda.text import header_text, shell_command
from s3archivefs_lambda.upload.upload_target import UploadTarget

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

WORDS = [
    "a",
    "",
    "two words",
    "it's",
    "new\nline",
    "\udcff",
    "\x1b[31m",
    "back\\n",
    "'\n\\'",
    "é日",
]


@pytest.mark.parametrize("word", WORDS, ids=ascii)
def test_shell_takes_each_word_as_it_is(word: str) -> None:
    assert words_of(shell_command(["printf", r"%s\0", word, "end"])) == [word, "end"]


def test_ordinary_words_are_not_quoted() -> None:
    assert shell_command(["s3archivefs", "upload", "./a.sqfs", "s3://b/k"]) == (
        "s3archivefs upload ./a.sqfs s3://b/k"
    )


def test_command_that_deletes_parts_names_the_very_key() -> None:
    # What a message shows of a URL is escaped: of a newline it has the name of another key.
    target = UploadTarget(cast("S3Client", None), "bucket", "a\nkey")
    command = abort_command(target)
    assert words_of(f"printf '%s\\0' {command}") == [
        *("s3archivefs", "upload", "--abort", "s3://bucket/a\nkey")
    ]


@pytest.mark.parametrize("key", ["a b.sqfs", "a\\n", "a\n", "é\x1b'"])
def test_url_in_a_message_is_printable_and_no_other_keys(key: str) -> None:
    url = object_url("bucket", key)
    assert url.isprintable()
    given = url if url.startswith("s3:") else words_of(f"printf '%s\\0' {url}")[0]
    assert given == f"s3://bucket/{key}"


@pytest.mark.property
@settings(max_examples=20)
@given(st.lists(st.binary(max_size=20).filter(lambda word: b"\0" not in word), min_size=1))
def test_any_words_come_back_from_a_shell(words: list[bytes]) -> None:
    command = shell_command(["printf", r"%s\0", *map(os.fsdecode, words)])
    assert command.isprintable()
    assert words_of(command) == [os.fsdecode(word) for word in words]


def words_of(command: str) -> list[str]:
    """What bash gives a program for the words of a command that prints them."""
    done = subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@given(text=st.text(st.one_of(st.characters(), st.sampled_from("\t\r\n \x0b\x1f\x85"))))
def test_text_of_a_field_is_sent_as_botocore_signs_it(text: str) -> None:
    sent = header_text(text)
    assert sent.isascii()
    assert sent.isprintable()
    headers = HTTPHeaders()
    headers["x-amz-meta-a"] = sent
    signed = SigV4Auth(Credentials("a", "b"), "s3", "us-east-1").canonical_headers(headers)
    # S3 makes one of blanks in a row, and leaves out those at the ends.
    assert signed == "x-amz-meta-a:" + re.sub(" +", " ", sent.strip(" "))


def test_text_of_a_field_keeps_all_that_can_be_sent() -> None:
    printable = "".join(map(chr, range(32, 127)))
    assert header_text(printable) == printable
    assert header_text("two  blanks") == "two  blanks"
    assert header_text("a\tb\r\nc\0d\u20ac") == "a b c d?"
