"""Kafka passes the conformance tests of sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import uuid4

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.kafka.connector import KAFKA
from headrace.ir.schema import Field, Schema
from tests.connectors.kafka.brokers import Topics
from tests.connectors.kafka.conftest import broker

__all__ = ["broker"]


class _Topic(SourceConformance):
    connector: ClassVar[Connector] = KAFKA
    settings: ClassVar[dict[str, object]] = {"metadata": {"offset": "at", "partition": "part"}}
    fields: ClassVar[Schema] = (Field("id", "bigint"), Field("name", "text"))

    @pytest.fixture(autouse=True)
    def _filled(self, broker: Topics) -> None:
        self.topics, self.topic = broker, f"c-{uuid4().hex[:8]}"
        broker.make(self.topic, 3)
        for number in range(700):
            broker.put(self.topic, self.value(number), partition=number % 3, key=b"%d" % number)
        broker.flush()

    def value(self, number: int) -> bytes | None:
        return b'{"id": %d, "name": "n%d"}' % (number, number)

    def context(self) -> Context:
        return self.topics.context({"topic": self.topic, **self.settings}, fields=self.fields)

    def broken(self) -> Sequence[Context]:
        return (
            self.topics.context({"topic": "nowhere"}, fields=self.fields),
            self.topics.context({"topic": self.topic, "startAt": "yesterday"}),
            self.topics.context({"topic": self.topic}, networks=()),
            self.topics.context({"topic": self.topic}, bootstrapServers="127.0.0.1"),
        )


class TestJson(_Topic):
    rows = 700
    numbers = "id"


@pytest.mark.slow
class TestFoundColumns(_Topic):
    rows = 700
    fields: ClassVar[Schema] = ()


class TestSomeAreBroken(_Topic):
    def value(self, number: int) -> bytes | None:
        return {0: b"{", 1: None}.get(number % 70, super().value(number))


@pytest.mark.slow
class TestDeletes(_Topic):
    rows = 700
    settings: ClassVar[dict[str, object]] = {"tombstones": "delete", "key": {"columns": ["id"]}}

    def value(self, number: int) -> bytes | None:
        return super().value(number) if number % 7 else None


@pytest.mark.slow
class TestLines(_Topic):
    rows = 1400
    settings: ClassVar[dict[str, object]] = {"format": "jsonl"}

    def value(self, number: int) -> bytes | None:
        return b'{"id": %d, "name": "a"}\n{"id": %d, "name": "b"}\n' % (number, number)


@pytest.mark.slow
class TestCsv(_Topic):
    rows = 700
    settings: ClassVar[dict[str, object]] = {"format": "csv"}

    def value(self, number: int) -> bytes | None:
        return b'%d,"n, %d"' % (number, number)


@pytest.mark.slow
class TestRaw(_Topic):
    rows = 700
    settings: ClassVar[dict[str, object]] = {"format": "raw", "metadata": {"key": "k"}}
    fields: ClassVar[Schema] = ()
