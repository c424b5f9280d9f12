"""Every type, value by value: selected, and unloaded."""

from __future__ import annotations

import pytest

from headrace.ir.schema import Field
from tests.connectors.reading import rejects, rows
from tests.connectors.redshift.cluster import Cluster
from tests.connectors.redshift.typed_table import filled, read_as_expected
from tests.connectors.redshift.values import VALUES

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("kind", VALUES)
def test_each_value_that_is_selected_arrives_exactly_or_as_an_error(small_cluster: Cluster, kind: str) -> None:
    read_as_expected(small_cluster, filled(small_cluster, kind))


@pytest.mark.slow
def test_anything_can_be_declared_text_and_arrives_as_the_server_writes_it(small_cluster: Cluster) -> None:
    for kind, written in [("numeric(12,2)", "0.10"), ("date", "0044-03-15 BC"), ("boolean", "t"), ("real", "0.1")]:
        small_cluster.make("DROP TABLE IF EXISTS t")
        filled(small_cluster, kind)
        source = small_cluster.source((Field("v", "text"),), table="t")
        assert "v" in source.discover(max_partitions=1).sure
        assert (written,) in rows(source)
        assert rejects(source) == []


def test_a_numeric_of_a_query_without_a_size_is_not_taken_for_exact(small_cluster: Cluster) -> None:
    small_cluster.make("CREATE TABLE t AS SELECT 1.5::numeric AS a UNION ALL SELECT 1e-30::numeric")
    source = small_cluster.source(query="SELECT a FROM shop.t")
    assert source.discover(max_partitions=1).sure == frozenset()
    assert [row[1:3] for row in rejects(source)] == [("a", "0.000000000000000000000000000001")]
