"""A server crash with staged rows: published rows stay, staged rows are loaded again."""

from __future__ import annotations

import psycopg
import pytest

from headrace.connectors.target import Resume
from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.connectors.postgresql.crash import crash, server
from tests.connectors.postgresql.modes.full_load import Load, rows, spec

__all__ = ["server"]
pytestmark = pytest.mark.postgres


def test_a_crash_between_two_buckets_loses_and_doubles_nothing(server: EmbeddedPostgres) -> None:
    url = server.url("postgres")

    def begun(run_id: str) -> Load:
        the_spec = spec(url, ["id", "n"], run_id, "run_1", upsert_key=("id",), planned_rows=500_000)
        return Load("upsert", the_spec).begin()

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (id int PRIMARY KEY, n int)")
        connection.execute("INSERT INTO t SELECT i, 0 FROM generate_series(1, 500) i")
    frame = rows(id=[*range(1, 1001), *range(1, 101)], n=[1] * 1000 + [2] * 100)
    first = begun("run_1")
    first.write(frame)
    done = first.mode.publish(0, 1, first._on_publish)
    assert first.mode.publications() == 3
    assert done.rows_loaded > 0

    crash(server)
    again = begun("run_2")
    with again.mode.loader(0, 0, "src") as loader:
        assert loader.resume == Resume()  # what was staged went with the crash, and so did its count
    again.write(frame)
    counted = again.publish()
    assert counted == Resume(rows_loaded=1000, rows_skipped=100)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT n, count(*) FROM t GROUP BY n ORDER BY n").fetchall()
    assert found == [(1, 900), (2, 100)]
