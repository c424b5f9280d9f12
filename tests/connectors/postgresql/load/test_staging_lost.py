"""A crash empties unlogged staging tables: no load continues as if the rows were there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl
import psycopg
import pytest

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.modes import MODES, LoadSpec
from headrace.connectors.source import ROW
from headrace.connectors.target import Published, Resume
from tests.databases import as_superuser

pytestmark = pytest.mark.postgres


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.t (id int PRIMARY KEY, n int); INSERT INTO public.t VALUES (0)")
        yield connection


def spec(url: str) -> LoadSpec:
    return LoadSpec(
        url, "public.t", ("id", "n"), "run_1", "run_1", "pipe_1", 1, "tgt", upsert_key=("id",), staged_rows=4
    )


def rows(*ids: int) -> pl.DataFrame:
    return pl.DataFrame(dict.fromkeys(("id", "n", ROW), ids), schema=dict.fromkeys(("id", "n", ROW), pl.Int64))


def crash(connection: psycopg.Connection[Any], url: str) -> None:
    """What a crash of the server does to unlogged tables."""
    found = connection.execute("SELECT oid::regclass::text FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'")
    for (table,) in found.fetchall():
        as_superuser(url, f"TRUNCATE {table}")


def counted(published: Published) -> Resume:
    return Resume(rows_loaded=published.loaded)


@pytest.mark.parametrize("name", ["upsert", "replace"])
def test_a_partition_does_not_continue_after_rows_that_are_gone(
    database_url: str, connection: psycopg.Connection[Any], name: str
) -> None:
    mode = MODES[name](spec(database_url))
    mode.begin()
    with mode.loader(0, 0, "src") as loader:
        loader.write(rows(1, 2), lambda written: Resume(rows_done=2))
        crash(connection, database_url)
        with pytest.raises(TargetError) as caught:
            loader.write(rows(3, 4), lambda written: Resume(rows_done=4))
    assert caught.value.code == "database_unavailable"
    with mode.loader(0, 0, "src") as again:
        assert again.resume.rows_done == 0
        again.write(rows(1, 2, 3, 4), lambda written: Resume(rows_done=4))
    for index in range(mode.publications()):
        mode.publish(0, index, counted)
    assert {1, 2, 3, 4} <= {id for (id,) in connection.execute("SELECT id FROM t")}


@pytest.mark.parametrize("name", ["upsert", "replace"])
def test_what_a_finished_partition_staged_is_missed_before_anything_is_published(
    database_url: str, connection: psycopg.Connection[Any], name: str
) -> None:
    mode = MODES[name](spec(database_url))
    mode.begin()
    with mode.loader(0, 0, "src") as first:
        first.write(rows(1, 2), lambda written: Resume(rows_done=2))
    crash(connection, database_url)
    with mode.loader(0, 1, "src") as second:
        second.write(rows(3, 4), lambda written: Resume(rows_done=2))
    with pytest.raises(TargetError) as caught:
        mode.publish(0, 0, counted)
    assert caught.value.code == "staging_lost"
    assert connection.execute("SELECT id FROM t").fetchall() == [(0,)]
    with mode.loader(0, 0, "src") as first:
        first.write(rows(1, 2), lambda written: Resume(rows_done=2))
    for index in range(mode.publications()):
        mode.publish(0, index, counted)
    assert {1, 2, 3, 4} <= {id for (id,) in connection.execute("SELECT id FROM t")}
