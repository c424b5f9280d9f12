"""MongoDB passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.mongodb.connector import MONGODB
from headrace.ir.schema import Field, Schema
from tests.connectors.mongodb.double import Double

ROWS = 160


@pytest.fixture(scope="module")
def filled(mongodb_double: Double) -> Double:
    import bson
    from bson import Decimal128, ObjectId

    mongodb_double.clear()
    day = datetime(2024, 1, 1, tzinfo=UTC)
    ids = [lambda i: i, lambda i: f"k{i}", lambda i: ObjectId(f"{i:024x}"), lambda i: day + timedelta(hours=i)]
    mongodb_double.fill(
        "orders",
        [
            {
                "_id": ids[i % 4](i),
                "amount": i,
                "price": Decimal128(f"{i}.{i % 100:02d}"),
                "name": f"no {i}" if i % 7 else None,
                "at": day + timedelta(minutes=i // 3),
                "lines": [{"n": n, "of": "ß"} for n in range(i % 3)],
            }
            for i in range(ROWS)
        ],
    )
    seen = mongodb_double.database.orders.find_raw_batches({"amount": {"$lt": 99}})
    mongodb_double.can("some", *(bson.encode(each) for batch in seen for each in bson.decode_all(batch)), kind="view")
    return mongodb_double


class _Collections(SourceConformance):
    connector: ClassVar[Connector] = MONGODB
    numbers: ClassVar[str | None] = "amount"
    rows: ClassVar[int | None] = ROWS
    settings: ClassVar[dict[str, object]] = {"collection": "orders", "partitioning": {"partitions": 4}}
    fields: ClassVar[Schema] = ()

    @pytest.fixture(autouse=True)
    def _server(self, filled: Double) -> None:
        self.server = filled

    def context(self) -> Context:
        return self.server.context(self.settings, self.fields)

    def broken(self) -> Sequence[Context]:
        return (
            self.server.context(self.settings, networks=()),
            self.server.context({"collection": "nowhere"}),
            self.server.context({"collection": "orders", "filter": {"$where": "1"}}),
        )


class TestCollection(_Collections):
    """Of identifiers of four types."""

    def broken(self) -> Sequence[Context]:
        context = self.context()
        secret = {"connectionString": "mongodb://reader:not-this-one@127.0.0.1:1/shop"}
        refused = replace(context, connection=replace(context.connection, config={}, credentials=secret))
        return (*super().broken(), refused)


@pytest.mark.slow
class TestWholeDocuments(_Collections):
    numbers = None
    settings: ClassVar[dict[str, object]] = {"collection": "orders", "document": "everything"}


@pytest.mark.slow
class TestRejectedRows(_Collections):
    rows = None
    settings: ClassVar[dict[str, object]] = {"collection": "orders", "filter": {"amount": {"$gte": 20}}}
    fields = (Field("amount", "integer"), Field("name", "text"), Field("lines", "text"), Field("_id", "integer"))


@pytest.mark.slow
class TestView(_Collections):
    """The double gives its documents without looking at any: it shows what is done with them."""

    rows = 99
    settings: ClassVar[dict[str, object]] = {"collection": "some"}
    fields = (Field("_id", "text"), Field("amount", "integer"), Field("price", "decimal"))


@pytest.mark.slow
class TestCursor(_Collections):
    settings: ClassVar[dict[str, object]] = {"collection": "orders", "cursor": {"column": "at"}}
