"""Rows that violate constraints are found by joins, however many they are."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql

from headrace.connectors.postgresql.copy.constraint_checks import Candidates, delete_violations
from headrace.connectors.postgresql.tables.describe import describe_table

pytestmark = pytest.mark.postgres


class _Explained(psycopg.Connection[Any]):
    """A connection that keeps the plans of the DELETEs that it executes."""

    plans: str = ""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(query, sql.Composed) and query.as_string(self).startswith("DELETE"):
            self.plans += "\n".join(line for (line,) in super().execute(sql.SQL("EXPLAIN ") + query).fetchall())
        return super().execute(query, *args, **kwargs)


def test_many_duplicates_are_found_without_comparing_every_row_with_every_other(database_url: str) -> None:
    with _Explained.connect(database_url) as connection:
        connection.execute("SET work_mem = '64kB'")  # as little as a million rows have of the usual
        connection.execute("CREATE TABLE public.ds_twice (id bigint UNIQUE, note text)")
        connection.execute("INSERT INTO public.ds_twice VALUES (5, 'there before')")
        connection.execute(
            "CREATE TEMP TABLE given AS "
            "SELECT n % 6000 AS id, n::text AS note, n AS row FROM generate_series(1, 20000) n"
        )
        connection.execute("ANALYZE given")
        table = describe_table(connection, "public.ds_twice")
        found = delete_violations(connection, Candidates(table, sql.Identifier("given"), "row", ("id", "note")))
        assert "SubPlan" not in connection.plans
        left = connection.execute("SELECT id, row FROM given ORDER BY id").fetchall()
        assert left == [(n % 6000, n) for n in (6000, *range(1, 5), *range(6, 6000))]
        assert len(found) == 20_000 - len(left)
        assert {each.broken.message for each in found} == {
            'Duplicate value violates unique constraint "ds_twice_id_key"'
        }
        connection.rollback()
