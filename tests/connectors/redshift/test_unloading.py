"""Tables that are unloaded, and read from the bucket."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.redshift.connector import REDSHIFT
from headrace.connectors.redshift.source import RedshiftSource
from headrace.connectors.source import ROW, Restart
from headrace.ir.schema import Field
from tests.connectors.reading import batches, carried, frame, rows
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.redshift.typed_table import filled as with_values
from tests.connectors.redshift.typed_table import read_as_expected
from tests.connectors.redshift.values import NOT_UNLOADED, VALUES
from tests.object_store import BUCKET

pytestmark = pytest.mark.postgres


@pytest.fixture
def filled(cluster: Cluster) -> Cluster:
    cluster.make(
        "CREATE TABLE t (id int, name varchar(20), price numeric(12,2))",
        "INSERT INTO t SELECT i, 'r' || i, i / 4.0 FROM generate_series(1, 5500) i",
        "ANALYZE t",
    )
    return cluster


def source_of(cluster: Cluster, **settings: Any) -> RedshiftSource:
    source = cluster.source(**{"table": "t", "unload": "always", **settings})
    assert isinstance(source, RedshiftSource)
    return source


@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind not in NOT_UNLOADED])
@pytest.mark.first_variant
def test_each_value_that_is_unloaded_arrives_exactly_or_as_an_error(cluster: Cluster, kind: str) -> None:
    read_as_expected(cluster, with_values(cluster, kind), unload="always")
    assert len(cluster.front.unloads) == 1


def test_anything_can_be_declared_text(cluster: Cluster) -> None:
    for kind, written in [("numeric(12,2)", "0.10"), ("date", "0044-03-15 BC"), ("boolean", "t"), ("real", "0.1")]:
        cluster.make("DROP TABLE IF EXISTS t")
        with_values(cluster, kind)
        source = cluster.source((Field("v", "text"),), table="t", unload="always")
        assert (written,) in rows(source)


def test_files_are_partitions_and_each_is_read_on_from_any_row(filled: Cluster) -> None:
    source = source_of(filled)
    found = source.discover(max_partitions=3)
    assert [each.rows for each in found.partitions] == [2000, 2000, 1500]
    assert found.counted
    assert found.restart is Restart.BOUNDARY
    filled.make("DELETE FROM t")  # what was unloaded stays
    read = [batch for each in found.partitions for batch in batches(source, found, each, batch_rows=700)]
    whole = frame(read)
    assert whole[ROW].to_list() == list(range(1, 5501))
    assert sorted(whole["id"].to_list()) == list(range(1, 5501))
    for done in (0, 699, 1000, 1999, 2000):
        rest = batches(source, found, found.partitions[0], rows_done=done)
        expected = whole.slice(done, 2000 - done)
        assert (frame(rest).rows() if rest else []) == expected.rows()


def test_another_process_reads_them_and_only_the_columns_it_wants(filled: Cluster) -> None:
    first = source_of(filled)
    found = first.discover(max_partitions=1)
    other = source_of(filled)
    [partition] = map(carried, found.partitions)
    read = batches(other, found, partition, columns=("price",))
    assert set(frame(read).columns) == {"price", ROW}
    assert frame(read)["price"].sum() == filled.rows("SELECT sum(price) FROM t")[0][0]
    assert sum(each.rows for each in batches(other, found, partition, columns=())) == 5500


def test_it_is_done_by_itself_for_large_tables_alone(filled: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    rows(filled.source(table="t"))
    assert filled.front.unloads == []
    monkeypatch.setattr("headrace.connectors.redshift.source.UNLOAD_ROWS", 5000)
    rows(filled.source(table="t", unload="never"))
    rows(filled.source(table="t", cursor={"column": "id", "key": []}))
    assert filled.front.unloads == []
    assert len(rows(filled.source(table="t"))) == 5500
    assert len(filled.front.unloads) == 1
    filled.make("ALTER TABLE t ADD shape geometry")
    found = filled.source(table="t").discover(max_partitions=1)
    assert "'shape' is geometry, which is not unloaded" in found.notes[0]
    assert len(filled.front.unloads) == 1
    with pytest.raises(SourceError, match="'shape' is geometry"):
        source_of(filled).discover(max_partitions=1)
    assert len(rows(source_of(filled, columns=["id"]))) == 5500


def test_a_query_is_unloaded_with_its_quotes_and_backslashes(filled: Cluster) -> None:
    name = "o'n\\e') TO 's3://elsewhere/x' --"
    filled.make("INSERT INTO t VALUES (0, 'o''n\\\\e', 0)")
    text = "SELECT id, name || :more AS name FROM shop.t WHERE name = :name OR name LIKE 'r1\\\\_%' OR id = 0"
    source = source_of(filled, table=None, query=text, parameters={"name": name, "more": "\\'"})
    assert rows(source) == [(0, "o'n\\e\\'")]


def test_no_row_is_no_file(filled: Cluster) -> None:
    filled.make("DELETE FROM t")
    found = source_of(filled).discover(max_partitions=3)
    assert found.partitions == []
    assert found.total_rows == 0


def test_the_files_are_removed_and_old_ones_of_runs_that_died_too(filled: Cluster) -> None:
    store = filled.store
    assert store is not None
    old = f"headrace-{int(time.time()) - 73 * 3600}-0123456789ab"
    young = f"headrace-{int(time.time()) - 71 * 3600}-0123456789ab"
    for name in (f"{old}/0000.parquet", f"{young}/0000.parquet", "somebody-elses/file"):
        store.client.put_object(Bucket=BUCKET, Key=f"{filled.prefix}/{name}", Body=b"x")
    source = source_of(filled)
    found = source.discover(max_partitions=1)
    folder = found.partitions[0].location["unloaded"]
    left = [f"{filled.prefix}/{young}/0000.parquet", f"{filled.prefix}/somebody-elses/file"]
    assert [each for each in filled.objects() if folder not in each] == left
    assert len([each for each in filled.objects() if folder in each]) == 7
    source.close()
    assert len(filled.objects()) == 9  # a retry needs them
    again = source_of(filled)
    again.keep(found.partitions)
    assert again.discover(max_partitions=8).partitions == found.partitions
    assert len(filled.front.unloads) == 1
    again.finish()
    assert filled.objects() == left
    with pytest.raises(SourceError) as gone:
        batches(again, found, found.partitions[0])
    assert gone.value.code == "unload_gone"


def test_what_is_not_whole_is_reported_and_removed(filled: Cluster) -> None:
    filled.front.fail_unload = True
    with pytest.raises(SourceError, match="S3 Query Exception") as failed:
        source_of(filled).discover(max_partitions=1)
    assert "May 'arn:aws:iam" in failed.value.hint
    assert filled.objects() == []
    filled.front.short_manifest = True
    with pytest.raises(SourceError, match="has 5,000 rows of 5,500"):
        source_of(filled).discover(max_partitions=1)
    assert filled.objects() == []


def test_a_file_that_became_another_is_reported(filled: Cluster) -> None:
    source = source_of(filled)
    found = source.discover(max_partitions=1)
    store = filled.store
    assert store is not None
    key = next(each for each in filled.objects() if each.endswith("0003_part_00.parquet"))
    store.client.put_object(Bucket=BUCKET, Key=key, Body=b"x")
    with pytest.raises(SourceError, match="not as it was unloaded"):
        batches(source, found, found.partitions[0])


@pytest.mark.parametrize("url", ["s3://elsewhere/a.parquet", "{start}/../a.parquet", "{start}/", "{start}x/a.parquet"])
def test_a_manifest_names_only_files_of_its_folder(filled: Cluster, url: str) -> None:
    put = filled.front.put

    def forged(name: str, content: bytes) -> None:
        if name.endswith("/manifest"):
            manifest = json.loads(content)
            manifest["entries"][0]["url"] = url.format(start=name.removesuffix("/manifest"))
            content = json.dumps(manifest).encode()
        put(name, content)

    filled.front.put = forged
    with pytest.raises(SourceError, match="its manifest names"):
        source_of(filled).discover(max_partitions=1)


def test_where_to_unload_to_must_be_known(filled: Cluster) -> None:
    small, half = replace(filled, store=None), filled.context({"table": "t"}, unloadRole=None)
    with pytest.raises(SourceError, match="does not say where"):
        small.source(table="t", unload="always")
    with pytest.raises(SourceError, match="needs 'unloadRole'"):
        REDSHIFT.source(half)
