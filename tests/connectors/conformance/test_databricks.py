"""Databricks passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.databricks.connector import DATABRICKS
from tests.connectors.databricks.double import double


class _Rows(SourceConformance):
    connector: ClassVar[Connector] = DATABRICKS
    numbers = "amount"
    rows = 700
    settings: ClassVar[dict[str, object]] = {"table": "t"}

    @pytest.fixture(autouse=True)
    def _filled(self) -> Iterator[None]:
        with double() as self.double:
            self.double.answerRows = 90
            self.double.make(
                "CREATE TABLE t AS SELECT 'ß' || i AS id, i AS amount, (i / 8)::DECIMAL(12, 3) AS price, "
                "DATE '2024-01-01' + (i % 400)::INT AS day, "
                "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL 1 MINUTE * i AS at, [i, i + 1] AS tags "
                "FROM range(1, 701) AS r(i)"
            )
            yield

    def context(self) -> Context:
        return self.double.context(self.settings)

    def broken(self) -> Sequence[Context]:
        return (
            self.double.context(self.settings, credentials={"token": "dapi-not-this-one"}),
            self.double.context(self.settings, url="http://127.0.0.1:9"),
            self.double.context({"table": "nowhere"}),
            self.double.context({"query": "SELECT nothing FROM t"}),
        )


class TestTable(_Rows):
    pass


@pytest.mark.slow
class TestTableWithKey(_Rows):
    settings: ClassVar[dict[str, object]] = {"table": "t", "key": ["amount"], "partitioning": {"partitions": 4}}


@pytest.mark.slow
class TestQuery(_Rows):
    settings: ClassVar[dict[str, object]] = {"query": "SELECT * FROM t WHERE id < :most", "parameters": {"most": "ü"}}


@pytest.mark.slow
class TestCursor(_Rows):
    settings: ClassVar[dict[str, object]] = {"table": "t", "cursor": {"column": "at", "key": ["id"]}}
