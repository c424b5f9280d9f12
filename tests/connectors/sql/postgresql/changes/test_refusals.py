"""What a server, a login or a table lacks for its changes to be read: said with what to do, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.registry import config_problems
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from tests.connectors.reading import batches
from tests.connectors.sql.postgresql.changes.origin import Origin, new_origin, open_server
from tests.connectors.sql.postgresql.shop import Shop, server, shop

__all__ = ["server", "shop"]
pytestmark = pytest.mark.postgres


def refused(origin: Origin, **settings: Any) -> SourceError:
    """The error of a first run, which has left nothing at the server."""
    with pytest.raises(SourceError) as raised:
        origin.run(**settings)
    assert origin.slots() == []
    assert origin.rows("SELECT pubname FROM pg_publication WHERE pubname LIKE 'headrace%'") == []
    return raised.value


@pytest.mark.parametrize(
    ("made", "settings", "code", "hint"),
    [
        ("CREATE TABLE t (id int)", {}, "no_identity", "Add a primary key, or ALTER TABLE"),
        ("CREATE TABLE t (id int); ALTER TABLE t REPLICA IDENTITY FULL", {}, "no_identity", "in the source's 'key'"),
        (
            "CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t REPLICA IDENTITY NOTHING",
            {},
            "no_identity",
            "primary key",
        ),
        ("CREATE UNLOGGED TABLE t (id int PRIMARY KEY)", {}, "no_changes", "SET LOGGED"),
        ("CREATE VIEW t AS SELECT 1 AS id", {}, "bad_table", "Name a table"),
        ("CREATE TABLE t (id int PRIMARY KEY, op text)", {}, "bad_option", "changes.operation to __op"),
        ("CREATE TABLE t (id int PRIMARY KEY, price money)", {}, "bad_option", "make it numeric"),
        (
            "CREATE TABLE t (id int PRIMARY KEY)",
            {"publication": "theirs"},
            "not_published",
            'CREATE PUBLICATION "theirs"',
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION partial FOR TABLE t WITH (publish = 'insert')",
            {"publication": "partial"},
            "not_published",
            "Publish insert, update, delete and truncate",
        ),
        (
            "CREATE TABLE t (id int PRIMARY KEY, a int); CREATE PUBLICATION partial FOR TABLE t WHERE (id > 5)",
            {"publication": "partial"},
            "not_published",
            "all rows",
        ),
    ],
)
def test_a_table_whose_changes_cannot_be_read(
    origin: Origin, made: str, settings: dict[str, Any], code: str, hint: str
) -> None:
    if " WHERE " in made and origin.version < 15:
        pytest.skip("a publication of some rows is new in PostgreSQL 15")
    origin.make(*made.split("; "))
    error = refused(origin, changes=settings)
    assert error.code == code
    assert hint in error.hint


def test_a_login_that_may_not(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)", "ALTER ROLE keeper NOREPLICATION", user="postgres")
    origin.make("GRANT SELECT ON t TO keeper", user="postgres")
    try:
        error = refused(origin)
        assert (error.code, error.hint.split(";")[0]) == ("not_permitted", "ALTER ROLE … REPLICATION")
        assert "changes of rows cannot be read: the login may not" in POSTGRESQL.tried(origin.context()).message
    finally:
        origin.make("ALTER ROLE keeper REPLICATION", user="postgres")
    error = refused(origin)
    assert error.code == "not_permitted"
    assert 'As its owner: CREATE PUBLICATION headrace FOR TABLE "public"."t"' in error.hint
    origin.make("CREATE PUBLICATION theirs FOR TABLE t", user="postgres")
    origin.run(changes={"publication": "theirs"})
    origin.make("INSERT INTO t VALUES (1)", user="postgres")
    [batch] = origin.run(changes={"publication": "theirs"})[1]
    assert batch.frame.get_column("id").to_list() == [1]


def test_a_server_whose_log_has_no_rows(shop: Shop) -> None:
    shop.make("CREATE TABLE t (id int PRIMARY KEY)")
    source = POSTGRESQL.source(shop.context({"table": "shop.t", "changes": {}}))
    with pytest.raises(SourceError, match="wal_level is minimal") as raised:
        source.discover(max_partitions=1)
    assert raised.value.hint.startswith("Set wal_level = logical in postgresql.conf")
    assert "; changes of rows cannot be read: the server's wal_level" in POSTGRESQL.tried(shop.context({})).message


@pytest.mark.slow
def test_a_server_that_is_too_old() -> None:
    with open_server(13) as server:
        origin = new_origin(server)
        origin.make("CREATE TABLE t (id int PRIMARY KEY)")
        error = refused(origin)
        assert (error.code, error.hint) == ("no_changes", "Use PostgreSQL 14 or newer, or a cursor instead of changes.")
        assert error.message.startswith("The server is PostgreSQL 13")
        assert "changes of rows cannot be read: the server is" in POSTGRESQL.tried(origin.context()).message


def test_a_truncate_that_is_not_wanted(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
    origin.run()
    origin.make("TRUNCATE t", "INSERT INTO t VALUES (2)")
    with pytest.raises(SourceError, match="was truncated at its origin"):
        origin.run(changes={"onTruncate": "fail"})
    [batch] = origin.run(changes={"onTruncate": "ignore"})[1]
    assert batch.frame.select("op", "id").rows() == [("c", 2)]


def test_a_table_that_was_made_again(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)")
    origin.run()
    source = origin.source()
    origin.make("INSERT INTO t VALUES (1)")
    found = source.discover(max_partitions=1)
    origin.make("DROP TABLE t", "CREATE TABLE t (id int PRIMARY KEY)")
    with pytest.raises(SourceError, match="dropped and made again"):
        batches(source, found, found.partitions[0])
    with pytest.raises(SourceError) as raised:
        origin.source().discover(max_partitions=1)
    assert raised.value.code == "table_recreated"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"query": "SELECT 1", "changes": {}}, "config"),
        ({"table": "t", "cursor": {"column": "a"}, "changes": {}}, "config"),
        ({"table": "t", "partitioning": {"by": "ctid"}, "changes": {}}, "config"),
        ({"table": "t", "changes": {"metadata": {"offset": "o"}}}, "config.changes"),
        ({"table": "t", "changes": {"metadata": {"lsn": "op"}}}, "config.changes"),
        ({"table": "t", "changes": {"onTruncate": "maybe"}}, "config.changes.onTruncate"),
    ],
)
def test_settings_that_cannot_be(config: dict[str, Any], path: str) -> None:
    assert [problem.path for problem in config_problems("postgresql", config)] == [path]
    assert config_problems("postgresql", {"table": "t", "changes": {}}) == []


def test_a_slot_that_was_made_again_between_two_parts(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 100)", "ANALYZE t")
    source = origin.source(partitioning={"partitions": 2})
    found = source.discover(max_partitions=2)
    for partition in found.partitions:
        origin.cursors[str(partition.cursor)] = batches(source, found, partition)[-1].position
        origin.rows(f"SELECT pg_drop_replication_slot('{origin.slots()[0]}')")
        origin.make("DELETE FROM t WHERE id = (SELECT min(id) FROM t)")
    slot = found.partitions[0].location["slot"]
    origin.rows(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    with pytest.raises(SourceError) as raised:
        origin.source().discover(max_partitions=1)
    assert raised.value.code == "slot_lost"
