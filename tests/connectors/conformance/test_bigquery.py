"""BigQuery passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from tests.connectors.bigquery.double import Double


class _Rows(SourceConformance):
    connector: ClassVar[Connector] = BIGQUERY
    numbers = "amount"
    rows = 700
    settings: ClassVar[dict[str, object]] = {"table": "t"}

    @pytest.fixture(autouse=True)
    def _filled(self, bigquery_double: Double) -> Iterator[None]:
        self.double = bigquery_double
        bigquery_double.clear()
        bigquery_double.control(streams=4, responseRows=60)
        bigquery_double.make(
            "CREATE TABLE t (id STRING, amount INT64, price NUMERIC, day DATE, at TIMESTAMP, tags ARRAY<INT64>)",
            "INSERT INTO t SELECT CONCAT('ß', CAST(n AS STRING)), n, CAST(n AS NUMERIC) / 8, "
            "DATE_ADD(DATE '2024-01-01', INTERVAL MOD(n, 400) DAY), TIMESTAMP_MICROS(n * 100500000), [n, n + 1] "
            "FROM UNNEST(GENERATE_ARRAY(1, 700)) AS n",
            "CREATE VIEW v AS SELECT id, amount FROM sales.t",
        )
        yield
        bigquery_double.close()

    def context(self) -> Context:
        return self.double.context(self.settings)

    def broken(self) -> Sequence[Context]:
        account = {**self.double.account, "private_key": "not a key at all"}
        return (
            self.double.context(self.settings, credentials={"serviceAccount": account}),
            self.double.context(self.settings, endpoint="http://127.0.0.1:9"),
            self.double.context({"table": "nowhere"}),
            self.double.context({"query": "SELECT nothing FROM t"}),
        )


class TestTable(_Rows):
    pass


@pytest.mark.slow
class TestView(_Rows):
    settings: ClassVar[dict[str, object]] = {"table": "v"}


@pytest.mark.slow
class TestQuery(_Rows):
    settings: ClassVar[dict[str, object]] = {"query": "SELECT * FROM t WHERE id < :most", "parameters": {"most": "ü"}}


@pytest.mark.slow
class TestCursor(_Rows):
    settings: ClassVar[dict[str, object]] = {"table": "t", "cursor": {"column": "at", "key": ["id"]}}
