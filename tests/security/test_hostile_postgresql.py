"""A server that is no PostgreSQL, or not an honest one, whose rows are passed on as they came."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import psycopg
import pytest
from psycopg import sql

from headrace.connectors.errors import SourceError
from headrace.connectors.postgresql.copy.passed import copy_passed
from headrace.connectors.source import PASSED, ROW, NotPassed
from headrace.connectors.sql.postgresql.changes.events import events_of
from headrace.connectors.sql.postgresql.changes.pgoutput import Decoder
from headrace.connectors.sql.postgresql.copying import Rows
from headrace.connectors.sql.postgresql.passing import frames, last_values


def cell(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def row(*values: bytes) -> bytes:
    return len(values).to_bytes(2, "big") + b"".join(map(cell, values))


ZERO = bytes(8)
GOOD = row(b"\0\0\0\1", ZERO)


def sent(*messages: bytes) -> Iterator[Rows]:
    sizes = np.array([len(each) for each in messages], np.int64)
    yield Rows(np.frombuffer(b"".join(messages), np.uint8), sizes, np.cumsum(sizes))


@pytest.mark.parametrize("bad", [b"", b"\0", row(ZERO), row(b"", b"", ZERO), b"\xff\xff", b"\0\2"])
def test_rows_that_are_none_are_refused(bad: bytes) -> None:
    with pytest.raises(SourceError, match="not those that were asked for"):
        list(frames(sent(GOOD, bad), 2, 1))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", b"\xff\xfe"), ("uuid", b"\1"), ("timestamptz", b"\x7f" + b"\xff" * 7), ("date", b"\x7f\xff\xff\xff")],
)
def test_a_key_that_cannot_be_read_is_refused(kind: str, value: bytes) -> None:
    [frame] = frames(sent(row(value, ZERO)), 2, 1)
    with pytest.raises(SourceError, match="not those that were asked for"):
        last_values(frame, [(0, kind)])


def test_a_size_that_points_behind_the_row_reads_nothing_else() -> None:
    huge = b"\0\2" + b"\x7f\xff\xff\xff" + b"\0\0\0\1" + cell(ZERO)
    [frame] = frames(sent(huge), 2, 1)
    assert isinstance(last_values(frame, [(0, "int8")])[0], int)


@pytest.mark.postgres
@pytest.mark.parametrize("hidden", [GOOD + GOOD, GOOD + b"\xff\xff" + GOOD, row(b"\0\0\0\1", ZERO) + b"x"])
def test_rows_hidden_in_a_row_are_never_loaded(database_url: str, hidden: bytes) -> None:
    """Each would be one more than the books have, or with another load's number."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.t (n int, _headrace_load_id bigint)")
        for messages in ([GOOD, GOOD], [GOOD, hidden, GOOD]):
            frame = pl.DataFrame({PASSED: messages}, schema={PASSED: pl.Binary})
            frame = frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.Int64).alias(ROW))
            if len(messages) == 2:
                copy_passed(connection, sql.Identifier("public", "t"), frame, ["n"], 7, None)
                continue
            with pytest.raises((NotPassed, psycopg.DataError)), connection.transaction():
                copy_passed(connection, sql.Identifier("public", "t"), frame, ["n"], 7, None)
        assert connection.execute("SELECT n, _headrace_load_id FROM public.t").fetchall() == [(1, 7)] * 2


def _change_messages() -> list[bytes]:
    """A transaction with a change of each kind, as pgoutput writes it."""
    table, text = (77).to_bytes(4, "big"), b"t" + cell(b"value")
    relation = b"R" + table + b"public\0t\0d\0\2" + b"\1id\0" + bytes(8) + b"\0a\0" + bytes(8)
    row_of = b"\0\2" + text + b"n"
    return [
        b"B" + bytes(8 + 8 + 4),
        relation,
        b"I" + table + b"N" + row_of,
        b"U" + table + b"K" + row_of + b"N" + row_of,
        b"U" + table + b"N\0\2" + text + b"u",
        b"D" + table + b"O" + row_of,
        b"T\0\0\0\1\0" + table,
        b"C\0" + bytes(8 + 8 + 8),
    ]


def test_changes_that_are_damaged_are_events_or_an_error() -> None:
    """Any byte of any message may be another one: nothing is read behind the messages, and nothing large is made."""
    chance = np.random.default_rng(5)
    outcomes = set()
    for turn in range(1500):
        messages = [row(each) for each in _change_messages()]
        if turn:
            at = int(chance.integers(len(messages)))
            broken = bytearray(messages[at])
            broken[int(chance.integers(6, len(broken)))] = int(chance.integers(256))
            messages[at] = bytes(broken[: int(chance.integers(7, len(broken) + 1))])
        [rows] = sent(*messages)
        try:
            events = events_of(Decoder(77).piece(rows), ["id", "a"], ["id"])
        except SourceError as error:
            outcomes.add(error.code)
        else:
            assert events.height <= 6
            outcomes.add("read")
            if not turn:
                assert events.get_column("#op").to_list() == ["c", "u", "u", "d", "t"]
    assert outcomes >= {"read", "query_failed"}
