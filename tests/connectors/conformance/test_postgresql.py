"""PostgreSQL passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from tests.connectors.sql.postgresql.changes.origin import Origin, logical_server, origin
from tests.connectors.sql.postgresql.shop import Shop, server, shop

__all__ = ["logical_server", "origin", "server", "shop"]

pytestmark = pytest.mark.postgres


class _Tables(SourceConformance):
    connector: ClassVar[Connector] = POSTGRESQL
    numbers = "amount"
    rows = 700
    settings: ClassVar[dict[str, object]] = {"table": "shop.t", "partitioning": {"partitions": 4}}
    key = " PRIMARY KEY"

    @pytest.fixture(autouse=True)
    def _filled(self, shop: Shop) -> None:
        self.shop = shop
        shop.make(
            f"CREATE TABLE t (id text{self.key}, amount int, day date, at timestamptz, raw bytea, price numeric(12,2))",
            "INSERT INTO t SELECT (ARRAY['a', 'B', 'ß'])[1 + i % 3] || i, i, date '2024-01-01' + i % 400, "
            "to_timestamp(i * 100.5), CASE WHEN i % 7 > 0 THEN decode(md5(i::text), 'hex') END, i / 4.0 "
            "FROM generate_series(1, 700) i",
            "CREATE VIEW seen AS SELECT * FROM t",
            "GRANT SELECT ON ALL TABLES IN SCHEMA shop TO reader",
            "ANALYZE t",
        )

    def context(self) -> Context:
        return self.shop.context(self.settings)

    def broken(self) -> Sequence[Context]:
        context = self.context()
        wrong = replace(context.connection, credentials={"username": "reader", "password": "not-this-one"})
        return (
            replace(context, connection=wrong),
            self.shop.context(self.settings, port=1),
            self.shop.context({"table": "shop.nowhere"}),
            self.shop.context({"query": "SELECT nothing FROM shop.t"}),
        )


class TestTable(_Tables):
    pass


@pytest.mark.slow
class TestTableWithoutKey(_Tables):
    key = ""


@pytest.mark.slow
class TestView(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "shop.seen", "key": ["id"]}


@pytest.mark.slow
class TestQuery(_Tables):
    settings: ClassVar[dict[str, object]] = {
        "query": "SELECT * FROM shop.t WHERE amount < :most",
        "parameters": {"most": 1000},
    }


@pytest.mark.slow
class TestCursor(_Tables):
    settings: ClassVar[dict[str, object]] = {"table": "shop.t", "cursor": {"column": "at"}}


class TestChanges(SourceConformance):
    """The snapshot, as a plan or a preview reads it: a run would make a slot."""

    connector: ClassVar[Connector] = POSTGRESQL
    numbers = "amount"
    rows = 700

    @pytest.fixture(autouse=True)
    def _filled(self, origin: Origin) -> None:
        self.origin = origin
        origin.make(
            "CREATE TABLE t (id int PRIMARY KEY, amount int, day date)",
            "INSERT INTO t SELECT i, i * 2, date '2024-01-01' + i % 400 FROM generate_series(1, 700) i",
            "ANALYZE t",
        )

    def context(self) -> Context:
        return self.origin.context(runs=False, table="public.t", changes={}, partitioning={"partitions": 4})

    def broken(self) -> Sequence[Context]:
        context = self.context()
        wrong = replace(context.connection, credentials={"username": "keeper", "password": "not-this-one"})
        return (replace(context, connection=wrong), replace(context, settings={"table": "public.x", "changes": {}}))
