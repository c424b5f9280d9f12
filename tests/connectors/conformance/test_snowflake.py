"""Snowflake passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.snowflake.connector import SNOWFLAKE
from tests.connectors.snowflake.conftest import account
from tests.connectors.snowflake.double import Double

__all__ = ["account"]


class _Rows(SourceConformance):
    connector: ClassVar[Connector] = SNOWFLAKE
    numbers = "AMOUNT"
    rows = 700
    settings: ClassVar[dict[str, object]] = {"table": "t"}

    @pytest.fixture(autouse=True)
    def _filled(self, account: Double) -> None:
        self.account = account
        account.control(chunkRows=90)
        account.make(
            "CREATE TABLE t AS SELECT 'ß' || (seq4() + 1) AS id, seq4() + 1 AS amount, "
            "((seq4() + 1) / 8)::NUMBER(12, 3) AS price, DATEADD(day, seq4() % 400, '2024-01-01'::DATE) AS day, "
            "DATEADD(minute, seq4(), '2024-01-01 00:00:00'::TIMESTAMP_NTZ) AS moment "
            "FROM TABLE(GENERATOR(ROWCOUNT => 700))"
        )

    def context(self) -> Context:
        return self.account.context(dict(self.settings))

    def broken(self) -> Sequence[Context]:
        return (
            self.account.context(dict(self.settings), credentials={"username": "reader", "password": "not-this-one"}),
            self.account.context(dict(self.settings), url="http://127.0.0.1:9"),
            self.account.context({"table": "nowhere"}),
            self.account.context({"query": "SELECT nothing FROM t"}),
        )


class TestTable(_Rows):
    pass


@pytest.mark.slow
class TestQuery(_Rows):
    settings: ClassVar[dict[str, object]] = {
        "query": "SELECT * FROM t WHERE amount < :most",
        "parameters": {"most": 1000},
    }


@pytest.mark.slow
class TestCursor(_Rows):
    settings: ClassVar[dict[str, object]] = {"table": "t", "cursor": {"column": "moment", "key": ["id"]}}
