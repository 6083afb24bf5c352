"""Lines of the log, written by a thread of its own."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from s3archivefs_lambda.line_writer import LineHandler, LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

SECONDS = 20
LINES = [f"{number:03} {'x' * 96}" for number in range(500)]


class Recorded(io.StringIO):
    """A stream that notes each write, and takes it when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.is_asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def write(self, text: str) -> int:
        self.is_asked.set()
        assert self.go_on.wait(SECONDS)
        self.writes.append(text)
        return len(text)

    @property
    def lines(self) -> list[str]:
        return "".join(self.writes).splitlines()


def started(stream: io.StringIO, **options: int) -> LineWriter:
    writer = LineWriter(stream, **options)
    writer.start()
    return writer


def put_all(writer: LineWriter, lines: Iterable[str]) -> None:
    for line in lines:
        writer.put(line)


def test_lines_are_written_in_order_in_fewer_writes() -> None:
    stream = Recorded()
    writer = started(stream)
    put_all(writer, LINES)
    writer.flush(SECONDS)
    assert stream.lines == LINES
    assert len(stream.writes) < len(LINES) / 10


def test_lines_are_written_though_nobody_asks() -> None:
    stream = Recorded()
    started(stream).put("one")
    assert stream.is_asked.wait(SECONDS)


def test_a_pipe_gets_whole_lines_that_it_takes_at_once() -> None:
    stream = Recorded()
    writer = started(stream)
    long = "y" * 10_000
    put_all(writer, [*LINES[:100], long, *LINES[100:]])
    writer.flush(SECONDS)
    assert all(write.endswith("\n") for write in stream.writes)
    assert {write for write in stream.writes if len(write) > 4096} == {f"{long}\n"}


def test_a_full_stream_holds_nobody_up_and_what_is_dropped_is_counted() -> None:
    stream = Recorded()
    stream.go_on.clear()
    writer = started(stream, most=1000)
    writer.put("first")
    assert stream.is_asked.wait(SECONDS)
    put_all(writer, LINES)
    writer.flush(0.01)
    stream.go_on.set()
    writer.flush(SECONDS)
    written = len(stream.lines) - 2  # besides the first, and the line that counts
    assert stream.lines[: 1 + written] == ["first", *LINES[:written]]
    assert stream.lines[-1].endswith(
        f"Z {len(LINES) - written} lines were dropped: the log's reader is too slow"
    )
    assert writer.dropped == len(LINES) - written
    writer.put("last")
    writer.flush(SECONDS)
    assert stream.lines[-1] == "last"


def test_a_reader_that_is_gone_stops_nothing() -> None:
    closed = io.StringIO()
    writer = started(closed)
    closed.close()
    put_all(writer, LINES)
    writer.flush(SECONDS)
    put_all(writer, LINES)
    writer.flush(SECONDS)


def test_records_of_logging_come_in_order_with_other_lines() -> None:
    stream = Recorded()
    handler = LineHandler(started(stream))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.handle(logging.makeLogRecord({"levelname": "INFO", "msg": "a record"}))
    handler.write("a line")
    handler.flush()
    assert stream.lines == ["INFO a record", "a line"]


END = """
import logging, os, sys
from s3archivefs_lambda.line_writer import LineHandler, LineWriter

writer = LineWriter(sys.stderr)
handler = LineHandler(writer)
handler.write("before there are threads")
writer.start()
logging.getLogger().addHandler(handler)
for number in range(1000):
    handler.write(f"line {number}")
if os.fork() == 0:
    handler.write("the child's")
    sys.exit()
os.wait()
"""


def test_the_end_of_a_process_loses_nothing_and_a_child_writes_its_own() -> None:
    # Python warns of a fork beside threads since 3.12; here it is what is tested.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", END]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = ended.stderr.splitlines()
    assert [line for line in lines if line != "the child's"] == [
        "before there are threads",
        *(f"line {number}" for number in range(1000)),
    ]
    assert lines.count("the child's") == 1


_HANDLER_WRITES = """
import os, signal, sys
from s3archivefs_lambda.line_writer import LineWriter

class Line(str):
    def __len__(self):  # as if the signal came in the middle
        os.kill(os.getpid(), signal.SIGHUP)
        return super().__len__()

writer = LineWriter(sys.stdout)
writer.start()
signal.signal(signal.SIGHUP, lambda *_: writer.put("from a handler"))
writer.put(Line("a line"))
writer.flush()
"""


def test_a_signals_handler_may_write_amid_a_line_of_the_same_thread() -> None:
    command = [sys.executable, "-c", _HANDLER_WRITES]
    found = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    assert set(found.stdout.splitlines()) == {"a line", "from a handler"}
