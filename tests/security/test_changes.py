"""A source of changes makes and drops its own slots and publications at the origin, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from headrace.connectors.connector import Reader
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from tests.connectors.reading import batches
from tests.connectors.sql.postgresql.changes.origin import Origin, logical_server, origin

__all__ = ["logical_server", "origin"]
pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("name", ['a"; DROP TABLE t; --', "a', 'proto_version', '9", "a%s", "\\", "a,b"])
def test_the_name_of_a_publication_is_a_name(origin: Origin, name: str) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(SourceError, match="is not in the publication"):
        origin.run(changes={"publication": name})
    quoted = '"' + name.replace('"', '""') + '"'
    origin.make(f"CREATE PUBLICATION {quoted} FOR TABLE t")
    origin.run(changes={"publication": name})
    origin.make("INSERT INTO t VALUES (1)")
    [batch] = origin.run(changes={"publication": name})[1]
    assert batch.frame.get_column("id").to_list() == [1]


def test_names_of_tables_and_columns_are_names(origin: Origin) -> None:
    table, column, key = 'x"; DROP TABLE t; --%s', "a'b\"c%(d)s", "k\\%"
    named = [f'"{each.replace(chr(34), chr(34) * 2)}"' for each in (table, column, key)]
    origin.make("CREATE TABLE t ()", f"CREATE TABLE {named[0]} ({named[2]} int PRIMARY KEY, {named[1]} text)")
    origin.make(f"ALTER TABLE {named[0]} ALTER {named[1]} SET STORAGE EXTERNAL")
    origin.make(f"INSERT INTO {named[0]} VALUES (1, repeat('v', 9000))")
    settings: dict[str, Any] = {"table": f"public.{named[0]}"}
    origin.run(**settings)
    origin.make(f"UPDATE {named[0]} SET {named[2]} = 2")
    [batch] = origin.run(**settings)[1]
    assert batch.frame.select("op", key).rows() == [("d", 1), ("c", 2)]
    assert batch.frame.get_column(column).to_list() == [None, "v" * 9000]
    assert origin.rows("SELECT to_regclass('t') IS NULL") == [(False,)]


def test_a_plan_or_a_preview_makes_nothing(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    source = POSTGRESQL.source(origin.context(runs=False, table="public.t", changes={}))
    found = source.discover(max_partitions=1)
    [batch] = batches(source, found, found.partitions[0])
    assert batch.frame.select("op", "id").rows() == [("r", 1)]
    assert origin.slots() == []
    assert origin.rows("SELECT FROM pg_publication") == []


def test_only_the_slots_of_the_pipeline_are_dropped(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)")
    origin.run()
    [mine] = origin.slots()
    others = [f"{mine[:-9]}x_1", "headrace_else", "theirs", mine.replace("headrace_", "headraceX").lower()]
    for name in others:
        origin.rows(f"SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')")
    assert POSTGRESQL.forget is not None
    context = origin.context(table="public.t", changes={})
    other = replace(context, reader=Reader(origin.pipeline, "another"))
    assert list(POSTGRESQL.forget(other)) == []
    assert list(POSTGRESQL.forget(context)) == [mine]
    assert origin.slots() == sorted(others)
