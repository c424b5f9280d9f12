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
