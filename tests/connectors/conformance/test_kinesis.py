"""Data streams pass what every source passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.kinesis.connector import KINESIS
from headrace.ir.schema import Field, Schema
from tests.connectors.kinesis.conftest import front, lite, moto
from tests.connectors.kinesis.producing import aggregated
from tests.connectors.kinesis.streams import Streams

__all__ = ["front", "lite", "moto"]


class _Stream(SourceConformance):
    connector: ClassVar[Connector] = KINESIS
    settings: ClassVar[dict[str, object]] = {"metadata": {"sequence": "at", "shard": "of"}}
    fields: ClassVar[Schema] = (Field("id", "bigint"), Field("name", "text"))
    service: ClassVar[str] = "moto"
    count: ClassVar[int] = 120

    @pytest.fixture(autouse=True)
    def _filled(self, request: pytest.FixtureRequest) -> None:
        self.streams: Streams = request.getfixturevalue(self.service)
        self.stream = self.streams.make(3)
        self.streams.put(self.stream, *map(self.value, range(self.count)))

    def value(self, number: int) -> bytes:
        return b'{"id": %d, "name": "n%d"}' % (number, number)

    def context(self) -> Context:
        return self.streams.context(self.settings, fields=self.fields, streamName=self.stream)

    def broken(self) -> Sequence[Context]:
        name = {"streamName": self.stream}
        return (
            self.streams.context({"streamName": "nowhere"}, fields=self.fields),
            self.streams.context({**name, "startAt": "yesterday"}),
            self.streams.context(name, networks=()),
            self.streams.context(name, region="EU 1"),
            self.streams.context(name, credentials={"accessKeyId": "k"}),
        )


class TestJson(_Stream):
    rows = 120
    numbers = "id"


@pytest.mark.slow
class TestRealNumbers(TestJson):
    service = "lite"


class TestAggregatedAndSomeBroken(_Stream):
    settings: ClassVar[dict[str, object]] = {"foreignRecords": "keep", "metadata": {"subsequence": "part"}}
    count = 40

    def value(self, number: int) -> bytes:
        one = super().value(number)
        return {0: b"{", 1: b"", 2: aggregated([(f"k{at}", one) for at in range(9)])}.get(number % 10, one)


@pytest.mark.slow
class TestFoundColumns(_Stream):
    rows = 120
    fields: ClassVar[Schema] = ()


@pytest.mark.slow
class TestLines(_Stream):
    rows = 240
    settings: ClassVar[dict[str, object]] = {"format": "jsonl"}

    def value(self, number: int) -> bytes:
        return b'{"id": %d, "name": "a"}\n{"id": %d, "name": "b"}\n' % (number, number)


@pytest.mark.slow
class TestCsv(_Stream):
    rows = 120
    settings: ClassVar[dict[str, object]] = {"format": "csv"}

    def value(self, number: int) -> bytes:
        return b'%d,"n, %d"' % (number, number)


@pytest.mark.slow
class TestAvro(_Stream):
    rows = 120
    settings: ClassVar[dict[str, object]] = {
        "format": "avro",
        "options": {
            "schema": {
                "type": "record",
                "name": "r",
                "fields": [{"name": "id", "type": "long"}, {"name": "name", "type": "string"}],
            }
        },
    }

    def value(self, number: int) -> bytes:
        return bytes([2 * number % 128 & 0x7E]) + b"\x04ab"


@pytest.mark.slow
class TestRaw(_Stream):
    rows = 120
    settings: ClassVar[dict[str, object]] = {"format": "raw", "metadata": {"partitionKey": "k", "arrival": "at"}}
    fields: ClassVar[Schema] = ()
