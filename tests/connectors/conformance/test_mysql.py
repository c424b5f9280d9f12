"""MySQL passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.sql.mysql.connector import MYSQL
from tests.connectors.sql.mysql.market import Market, certificates, mariadb, market

__all__ = ["certificates", "mariadb", "market"]


class _Tables(SourceConformance):
    connector: ClassVar[Connector] = MYSQL
    numbers = "amount"
    settings: ClassVar[dict[str, object]] = {"table": "t", "partitioning": {"partitions": 4}}
    key = " PRIMARY KEY"

    @pytest.fixture(autouse=True)
    def _filled(self, market: Market) -> None:
        self.market = market
        market.make(
            f"CREATE TABLE t (id varchar(9) NOT NULL{self.key}, amount int, day date, at timestamp(6) NULL, raw blob)",
            "INSERT INTO t SELECT CONCAT(ELT(1 + seq % 3, 'a', 'B', 'ß'), seq), seq, DATE '2024-01-01' + INTERVAL "
            "seq % 400 DAY, FROM_UNIXTIME(seq * 100.5), IF(seq % 7, UNHEX(MD5(seq)), NULL) FROM seq_1_to_700",
            "ANALYZE TABLE t",
        )

    def context(self) -> Context:
        return self.market.context(self.settings)

    def broken(self) -> Sequence[Context]:
        context = self.context()
        wrong = replace(context.connection, credentials={"username": "reader", "password": "not-this-one"})
        return (
            replace(context, connection=wrong),
            self.market.context(self.settings, port=1),
            self.market.context({"table": "nowhere"}),
            self.market.context({"query": "SELECT nothing FROM t"}),
        )


class TestTable(_Tables):
    rows = 700


@pytest.mark.slow
class TestTableWithoutKey(_Tables):
    rows = 700
    key = ""


@pytest.mark.slow
class TestQuery(_Tables):
    rows = 700
    settings: ClassVar[dict[str, object]] = {"query": "SELECT * FROM t WHERE id < :most", "parameters": {"most": "z"}}


@pytest.mark.slow
class TestCursor(_Tables):
    rows = 700
    settings: ClassVar[dict[str, object]] = {"table": "t", "cursor": {"column": "at"}}


@pytest.mark.slow
class TestZeroDates(_Tables):
    @pytest.fixture(autouse=True)
    def _zero(self, _filled: None) -> None:
        self.market.make("UPDATE t SET day = '0000-00-00' WHERE amount % 50 = 3")
