"""Redshift passes the conformance tests of sources, selected and unloaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.redshift.connector import REDSHIFT
from tests.connectors.redshift.cluster import Cluster, cluster, warehouse
from tests.connectors.sql.postgresql.shop import server

__all__ = ["cluster", "server", "warehouse"]

pytestmark = pytest.mark.postgres


class _Tables(SourceConformance):
    connector: ClassVar[Connector] = REDSHIFT
    numbers = "amount"
    rows = 700
    settings: ClassVar[dict[str, object]] = {}

    @pytest.fixture(autouse=True)
    def _filled(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.front.file_rows = 250
        cluster.make(
            "CREATE TABLE t (id varchar(9), amount int, day date, at timestamp, doc super, share real)",
            """INSERT INTO t SELECT 'k' || i, i, date '2024-01-01' + i, timestamp '2024-01-01' + i * interval '1.5 s',
            ('{"n":' || i || '}')::super, i / 3.0 FROM generate_series(1, 700) i""",
            "ANALYZE t",
        )

    def context(self) -> Context:
        return self.cluster.context(self.settings)

    def broken(self) -> Sequence[Context]:
        context = self.context()
        wrong = replace(context.connection, credentials=self.cluster.credentials | {"password": "not-this-one"})
        return (
            replace(context, connection=wrong),
            self.cluster.context(self.settings, port=1),
            self.cluster.context({"table": "nowhere"}),
            self.cluster.context({"query": "SELECT nothing FROM shop.t"}),
        )


class TestSelected(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "t"}


@pytest.mark.slow
class TestKeyRanges(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "t", "key": ["amount"], "partitioning": {"partitions": 4}}


class TestUnloaded(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "t", "unload": "always"}


@pytest.mark.slow
class TestUnloadedQuery(_Tables):
    settings: ClassVar[dict[str, object]] = {
        "query": "SELECT * FROM shop.t WHERE id < :most",
        "parameters": {"most": "z"},
        "unload": "always",
    }


@pytest.mark.slow
class TestCursor(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "t", "cursor": {"column": "at", "key": []}}
