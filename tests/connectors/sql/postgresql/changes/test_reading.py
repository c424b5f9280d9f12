"""A table and its changes as events: what is read, in which order, and that no run reads a change twice."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch
from tests.connectors.reading import batches
from tests.connectors.sql.postgresql.changes.origin import Origin

pytestmark = pytest.mark.postgres


def events(read: tuple[Any, list[Batch]], *columns: str) -> list[tuple[Any, ...]]:
    """The operation and some columns of each event."""
    found = [batch.frame.select("op", *columns) for batch in read[1]]
    return pl.concat(found).rows() if found else []


def test_rows_first_and_then_each_change_once(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY, a text)", "INSERT INTO t VALUES (1, 'one'), (2, 'two')")
    assert events(origin.run(), "id", "a") == [("r", 1, "one"), ("r", 2, "two")]
    assert len(origin.slots()) == 1
    assert origin.run()[1] == []
    origin.at_once("INSERT INTO t VALUES (3, NULL)", "UPDATE t SET a = 'zwei' WHERE id = 2")
    origin.make("UPDATE t SET id = 10 WHERE id = 1", "DELETE FROM t WHERE id = 3", "TRUNCATE t")
    origin.make("INSERT INTO t VALUES (4, E'tab\\tline\\nback\\\\slash')")
    assert events(origin.run(), "id", "a") == [
        ("c", 3, None),
        ("u", 2, "zwei"),
        ("d", 1, None),
        ("c", 10, "one"),
        ("d", 3, None),
        ("t", None, None),
        ("c", 4, "tab\tline\nback\\slash"),
    ]
    assert origin.run()[1] == []
    [slot] = origin.slots()
    origin.cursors.clear()  # they are reset
    assert events(origin.run(), "id") == [("r", 4)]
    assert len(origin.slots()) == 1
    assert origin.slots() != [slot]
    origin.make("DELETE FROM t")
    assert events(origin.run(), "id") == [("d", 4)]


def test_the_parts_of_a_snapshot_and_the_changes_between_them(origin: Origin) -> None:
    """Each part is read at another moment: changes before it are in it, those after it are events."""
    origin.make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    origin.make("INSERT INTO t SELECT i, 0 FROM generate_series(1, 900) i", "ANALYZE t")
    source = origin.source(partitioning={"partitions": 3})
    found = source.discover(max_partitions=3)
    assert len(found.partitions) == 3
    rows = []
    for turn, partition in enumerate(found.partitions):
        running = origin.connected()
        if turn:  # a slot is made only when no transaction is open
            running.execute("BEGIN")
            running.execute(f"UPDATE t SET a = a + 1000 WHERE id % 300 = {50 + turn}".encode())
        origin.make(f"UPDATE t SET a = a + 1 WHERE id % 100 = {turn}")
        given = batches(source, found, partition)
        running.execute("COMMIT")
        running.close()
        origin.make(f"UPDATE t SET a = a + 1 WHERE id % 100 = {turn + 10}")
        origin.cursors[str(partition.cursor)] = given[-1].position
        rows += [batch.frame for batch in given]
        if turn == 0:  # another run goes on with the parts that are missing
            source = origin.source(partitioning={"partitions": 9})
            again = source.discover(max_partitions=9)
            assert [each.location["part"] for each in again.partitions] == [1, 2]
    mirror = dict(pl.concat(rows).select("id", "a").rows())
    assert len(mirror) == 900
    seen = events(origin.run(), "id", "a")
    for op, key, value in seen:
        assert op == "u"
        assert mirror[key] != value, "the part had seen it"
        mirror[key] = value
    assert mirror == dict(origin.rows("SELECT id, a FROM t"))
    assert sorted(key for _, key, _ in seen if key % 100 in (51, 52)) == [51, 52, 351, 352, 652]


def test_batches_end_with_transactions_and_reading_goes_on_after_each(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY, a int)")
    origin.run()
    for turn in range(12):
        origin.at_once(*(f"INSERT INTO t VALUES ({turn * 10 + at}, {turn})" for at in range(turn)))
    source = origin.source()
    found = source.discover(max_partitions=1)
    [partition] = found.partitions
    given = batches(source, found, partition, batch_rows=7)
    sizes = [batch.frame.get_column("a").unique().sort().to_list() for batch in given]
    assert sizes == [[1, 2, 3], [4], [5], [6], [7], [8], [9], [10], [11]]
    whole = pl.concat([batch.frame for batch in given])
    for batch in given:
        after = batches(source, found, partition, batch_rows=20, rows_done=batch.rows_done, position=batch.position)
        left = pl.concat([each.frame for each in after]) if after else whole.clear()
        assert left.equals(whole[batch.rows_done :])


def test_a_transaction_that_is_too_large_is_given_in_parts(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.sql.postgresql.changes.transactions.MOST_ROWS", 250)
    monkeypatch.setattr("headrace.connectors.sql.postgresql.changes.reading._PIECE_ROWS", 100)
    origin.make("CREATE TABLE t (id int PRIMARY KEY)")
    origin.run()
    origin.make(
        "INSERT INTO t VALUES (0)", "INSERT INTO t SELECT generate_series(1, 999)", "INSERT INTO t VALUES (1000)"
    )
    source = origin.source(changes={"metadata": {"sequence": "place"}})
    found = source.discover(max_partitions=1)
    [partition] = found.partitions
    given = batches(source, found, partition, batch_rows=50)
    assert len(given) >= 4
    places = pl.concat([batch.frame for batch in given]).get_column("place")
    assert places[1:-1].diff().drop_nulls().unique().to_list() == [2]
    for batch in given:
        after = batches(source, found, partition, rows_done=batch.rows_done, position=batch.position)
        ids = [key for each in after for key in each.frame.get_column("id").to_list()]
        assert ids == list(range(batch.rows_done, 1001))
    origin.cursors["changes"] = given[1].position
    assert events(origin.run(), "id") == [("c", key) for key in range(given[1].rows_done, 1001)]


def test_values_that_an_update_left_out(origin: Origin) -> None:
    """Large values are not in the log of an update that does not change them."""
    origin.make(
        "CREATE TABLE t (id int PRIMARY KEY, n int, big text, other text)",
        "ALTER TABLE t ALTER big SET STORAGE EXTERNAL",
    )
    large = "repeat('x{0}', 3000)"
    origin.make(*(f"INSERT INTO t VALUES ({key}, 0, {large.format(key)}, 'o')" for key in range(1, 7)))
    origin.run()
    origin.make(
        "UPDATE t SET n = 1 WHERE id = 1",
        f"INSERT INTO t VALUES (7, 0, {large.format(7)}, NULL)",
        "UPDATE t SET n = 1 WHERE id = 7",
        f"UPDATE t SET n = 2, big = {large.format('new')} WHERE id = 2",
        "UPDATE t SET n = 3 WHERE id = 2",
        "UPDATE t SET id = 30 WHERE id = 3",
        "UPDATE t SET n = 9 WHERE id = 30",
        "DELETE FROM t WHERE id = 5",
        "UPDATE t SET id = 5 WHERE id = 4",
    )
    read = events(origin.run(), "id", "n", "big")
    short = [(op, key, n, big and big[:5]) for op, key, n, big in read]
    assert short == [
        ("u", 1, 1, "x1x1x"),
        ("c", 7, 0, "x7x7x"),
        ("u", 7, 1, "x7x7x"),
        ("u", 2, 2, "xnewx"),
        ("u", 2, 3, "xnewx"),
        ("d", 3, None, None),
        ("c", 30, 0, "x3x3x"),
        ("u", 30, 9, "x3x3x"),
        ("d", 5, None, None),
        ("d", 4, None, None),
        ("c", 5, 0, "x4x4x"),
    ]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_a_value_that_was_changed_again_is_refused_unless_the_log_has_it(origin: Origin, identity: str) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY, n int, big text)", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL")
    origin.make(f"ALTER TABLE t REPLICA IDENTITY {identity}", "INSERT INTO t VALUES (1, 0, repeat('a', 9000))")
    origin.run()
    origin.make("UPDATE t SET n = 1", "UPDATE t SET n = 2")
    source = origin.source(changes={"unchangedValues": "error"})
    found = source.discover(max_partitions=1)
    origin.make("UPDATE t SET big = repeat('b', 9000)")
    [batch] = batches(source, found, found.partitions[0])
    if identity == "FULL":
        assert batch.frame.select("n", pl.col("big").str.head(1)).rows() == [(1, "a"), (2, "a")]
        return
    assert batch.frame.height == 0
    assert [(column, rule) for _, column, _, _, rule in batch.rejects.rows()] == [("big", "unchanged_value")] * 2
    kept = origin.run()[1]
    assert pl.concat([each.frame for each in kept]).select("n", pl.col("big").str.head(1)).rows() == [
        (1, "b"), (2, "b"), (2, "b")]  # fmt: skip


def test_metadata_and_columns_that_come_and_go(origin: Origin) -> None:
    origin.make("CREATE TABLE t (id int PRIMARY KEY, op text)", "INSERT INTO t VALUES (1, 'mine')")
    changes = {"operation": "__op", "metadata": {"lsn": "at_lsn", "xid": "by", "committedAt": "at"}}
    _, [first] = origin.run(changes=changes)
    assert first.frame.select("__op", "op", "at_lsn", "by").rows() == [("r", "mine", None, None)]
    assert first.frame.get_column("at").null_count() == 0
    with origin.connected() as connection, connection.transaction():
        connection.execute("INSERT INTO t VALUES (2, 'b')")
        xid = connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()
    origin.make("ALTER TABLE t ADD COLUMN added int DEFAULT 7", "INSERT INTO t VALUES (3, 'c', 8)",
                "ALTER TABLE t DROP COLUMN op", "INSERT INTO t VALUES (4, 9)")  # fmt: skip
    found, [second] = origin.run(changes=changes)
    assert [field.name for field in found.schema] == ["id", "added", "__op", "at_lsn", "by", "at"]
    assert second.frame.select("id", "added").rows() == [(2, None), (3, 8), (4, 9)]
    assert (second.frame.get_column("by")[0],) == xid
    at = origin.rows(f"SELECT '{second.frame.get_column('at_lsn')[0]}'::pg_lsn < pg_current_wal_lsn()")
    assert at == [(True,)]
    assert second.locate is not None
    assert str(second.locate(second.frame.get_column("__row"))[0]).startswith("public.t insert at ")


def test_a_partitioned_table_and_generated_columns(origin: Origin) -> None:
    origin.make(
        "CREATE TABLE t (id int, place int, big text, made int GENERATED ALWAYS AS (id * 2) STORED, "
        "PRIMARY KEY (place, id)) PARTITION BY LIST (place)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES IN (2)",
        "ALTER TABLE t1 ALTER big SET STORAGE EXTERNAL",
        "INSERT INTO t VALUES (1, 1, repeat('a', 9000)), (2, 2, 'b')",
    )
    found, read = origin.run()
    assert [field.name for field in found.schema] == ["id", "place", "big", "op"]
    assert sum(batch.frame.height for batch in read) == 2
    origin.make("UPDATE t SET id = 10 WHERE id = 1", "UPDATE t SET place = 2 WHERE id = 10")
    origin.make("DELETE FROM t WHERE id = 2")
    short = [(op, key, place, big and len(big)) for op, key, place, big in events(origin.run(), "id", "place", "big")]
    # The value of the second is not in the log, and its row is gone by now, which the third says.
    assert short == [("d", 1, 1, None), ("c", 10, 1, None), ("d", 10, 1, None), ("c", 10, 2, 9000), ("d", 2, 2, None)]
    with pytest.raises(SourceError, match="is generated by the server"):
        origin.run(columns=["id", "made"])
