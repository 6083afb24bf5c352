"""Figures in memory that processes share."""

from __future__ import annotations

import os

from s3archivefs_lambda.endpoint.board import VALUES, Board


def test_what_a_forked_process_writes_is_read_by_all_and_outlives_it() -> None:
    board = Board(2)
    for _ in range(2):  # the second takes the place of the first
        child = os.fork()
        if child == 0:
            row = board.row(1, "GetObject 200")
            row[3] += 20
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert dict(board.rows(1))["GetObject 200"][3] == 40
    assert "GetObject 200" not in dict(board.rows(0))


def test_a_row_has_its_name_for_good() -> None:
    board = Board(1)
    for number in range(20):
        board.row(0, f"name {number}")[0] = number
    for number in range(20):
        assert board.row(0, f"name {number}")[0] == number
    rows = dict(board.rows(0))
    assert rows["name 7"] == [7.0] + [0.0] * (VALUES - 1)


def test_where_there_is_no_room_for_a_name_the_last_row_has_the_rest() -> None:
    board = Board(2)
    for number in range(300):
        board.row(0, f"name {number}")[0] += 1
    assert sum(values[0] for _, values in board.rows(0)) == 300
    assert not any(any(values) for _, values in board.rows(1))
