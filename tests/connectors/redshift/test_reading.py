"""Tables, views and queries that are selected."""

from __future__ import annotations

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Bound, Restart, Wanted
from tests.connectors.reading import batches, frame, rows, run
from tests.connectors.redshift.cluster import Cluster

pytestmark = pytest.mark.postgres

FILL = "INSERT INTO t SELECT i, 'r' || i, i / 4.0 FROM generate_series(1, {}) i"


@pytest.fixture
def filled(small_cluster: Cluster) -> Cluster:
    small_cluster.make("CREATE TABLE t (id int, name varchar(20), price numeric(12,2))", FILL.format(5000), "ANALYZE t")
    return small_cluster


def test_rows_come_in_batches_and_numbered(filled: Cluster) -> None:
    source = filled.source(table="t", key=["id"])
    found = source.discover(max_partitions=1)
    assert found.restart is Restart.BOUNDARY
    read = batches(source, found, found.partitions[0], batch_rows=700)
    assert [each.rows for each in read] == [700] * 7 + [100]
    assert frame(read)[ROW].to_list() == list(range(1, 5001))
    assert frame(read)["price"].sum() == filled.rows("SELECT sum(price) FROM t")[0][0]


def test_a_table_without_a_named_key_cannot_be_read_on_and_one_with_it_can(filled: Cluster) -> None:
    assert filled.source(table="t").discover(max_partitions=1).restart is Restart.NONE
    filled.make("ALTER TABLE t ADD PRIMARY KEY (id)")
    assert filled.source(table="t").discover(max_partitions=1).restart is Restart.NONE  # not enforced there


def test_a_key_is_cut_into_ranges_that_are_all_rows(filled: Cluster) -> None:
    source = filled.source(table="t", key=["id"], partitioning={"partitions": 4})
    found = source.discover(max_partitions=8)
    assert len(found.partitions) == 4
    assert [note for note in found.notes if "own time" in note]
    assert sorted(each[0] for each in rows(source, most=8)) == list(range(1, 5001))


@pytest.mark.parametrize(("one", "other"), [("a", "a  "), ("7", "7")])
def test_a_key_that_the_server_takes_for_the_same_is_reported(small_cluster: Cluster, one: str, other: str) -> None:
    """Blanks at the end do not count there: `> 'a'` would pass over the second."""
    small_cluster.make("CREATE TABLE t (k varchar(9))", f"INSERT INTO t VALUES ('{one}'), ('{other}'), ('b')")
    with pytest.raises(SourceError, match="same key"):
        rows(small_cluster.source(table="t", key=["k"]))


def test_texts_in_other_letters_are_other_keys_where_the_server_reports_them_apart(small_cluster: Cluster) -> None:
    small_cluster.make('CREATE TABLE t (k varchar(9) COLLATE "C")', "INSERT INTO t VALUES ('A'), ('a'), ('7'), ('7a')")
    assert sorted(rows(small_cluster.source(table="t", key=["k"]))) == [("7",), ("7a",), ("A",), ("a",)]


def test_names_in_capitals_are_taken_as_they_are_and_only_then_is_the_session_reported(filled: Cluster) -> None:
    rows(filled.source(table="t"))
    assert not [each for each in filled.front.settings if "case_sensitive" in each]
    filled.make('CREATE TABLE "Odd ""T" ("Id" int, "a.b" int)', 'INSERT INTO "Odd ""T" VALUES (1, 2)')
    assert rows(filled.source(table='shop."Odd ""T"')) == [(1, 2)]
    assert [each for each in filled.front.settings if "case_sensitive" in each]


def test_a_query_has_its_parameters_and_cannot_write(filled: Cluster) -> None:
    text = "SELECT id, name FROM shop.t WHERE id < :most AND name <> :name"
    source = filled.source(query=text, parameters={"most": 4, "name": "r2\\' OR 1=1 --"})
    assert sorted(rows(source)) == [(1, "r1"), (2, "r2"), (3, "r3")]
    with pytest.raises(SourceError) as refused:
        filled.source(query="DELETE FROM shop.t")
    assert refused.value.code == "bad_query"
    filled.make("CREATE FUNCTION w() RETURNS int SECURITY DEFINER LANGUAGE sql AS 'DELETE FROM shop.t RETURNING 1'")
    with pytest.raises(SourceError, match="read-only"):
        rows(filled.source(query="SELECT shop.w() AS a"))


def test_filters_are_pushed_down(filled: Cluster) -> None:
    source = filled.source(table="t")
    found = source.discover(max_partitions=1)
    wanted = Wanted(frozenset(("id", "name")), (Bound("id", ">", 4990), Bound("name", "=", "r4995")))
    read = list(source.read(found.partitions[0], found.schema, wanted=wanted))
    assert frame(read).drop(ROW).rows() == [(4995, "r4995")]


def test_a_cursor_goes_on_where_it_was(filled: Cluster) -> None:
    source = filled.source(table="t", cursor={"column": "id", "key": []})
    first, position = run(source, None, batch_rows=999)
    assert first == list(range(1, 5001))
    filled.make("INSERT INTO t SELECT i, 'n', 0 FROM generate_series(5001, 5100) i")
    assert run(filled.source(table="t", cursor={"column": "id", "key": []}), position)[0] == list(range(5001, 5101))


def test_a_cursor_of_times_lags_the_present(small_cluster: Cluster) -> None:
    small_cluster.make(
        "CREATE TABLE t (id int, at timestamp)",
        "INSERT INTO t SELECT i, (now() AT TIME ZONE 'UTC') - i * interval '1 hour' FROM generate_series(-2, 5) i",
    )
    source = small_cluster.source(table="t", cursor={"column": "at", "key": ["id"], "lag": "PT90M"})
    assert run(source, None)[0] == [5, 4, 3, 2]


def test_a_lost_connection_is_made_again_after_the_last_batch(filled: Cluster) -> None:
    source = filled.source(table="t", key=["id"])
    source._pauses = (0.0, 0.0)
    found = source.discover(max_partitions=1)
    filled.front.cut_after = 60_000
    read = batches(source, found, found.partitions[0], batch_rows=500)
    assert filled.front.cut_after is None
    assert frame(read)["id"].to_list() == list(range(1, 5001))


def test_what_is_there_is_listed_and_what_is_not_is_reported(filled: Cluster) -> None:
    filled.make("CREATE VIEW v AS SELECT id FROM t", "COMMENT ON TABLE t IS 'all of them'")
    from headrace.connectors.redshift.connector import REDSHIFT

    listed = {each.name: each for each in REDSHIFT.listed(filled.context({}))}
    assert {name: each.kind for name, each in listed.items()} == {"shop.t": "table", "shop.v": "view"}
    assert listed["shop.t"].comment == "all of them"
    found = REDSHIFT.described(filled.context({}), "shop.v")
    assert [each.name for each in found.fields or ()] == ["id"]
    with pytest.raises(SourceError) as missing:
        filled.source(table="shop.tt").discover(max_partitions=1)
    assert missing.value.code == "missing_table"
    assert "shop.t" in missing.value.hint


def test_no_column_that_is_not_wanted_is_selected(filled: Cluster) -> None:
    filled.make("REVOKE SELECT ON t FROM reader", "GRANT SELECT (id) ON t TO reader")
    source = filled.source(table="t", columns=["id"])
    assert len(rows(source)) == 5000
    with pytest.raises(SourceError) as refused:
        rows(filled.source(table="t"))
    assert refused.value.code == "not_permitted"


def test_an_empty_table_has_no_row(small_cluster: Cluster) -> None:
    small_cluster.make("CREATE TABLE t (id int)")
    assert rows(small_cluster.source(table="t", key=["id"])) == []
    assert small_cluster.source(table="t").sample(5).select("id").equals(pl.DataFrame(schema={"id": pl.Int32}))
