"""Webhooks pass what every source passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from headrace.connectors.conformance import SourceConformance
from headrace.connectors.connector import Connector, Context
from headrace.connectors.webhook.connector import WEBHOOK
from headrace.ir.schema import Field, Schema
from tests.catalog.hooks.spools import Spools
from tests.databases import Roles

pytestmark = pytest.mark.postgres


class _Hook(SourceConformance):
    connector: ClassVar[Connector] = WEBHOOK
    settings: ClassVar[dict[str, Any]] = {"metadata": {"sequence": "at", "received": "came"}}
    fields: ClassVar[Schema] = (Field("id", "bigint"), Field("name", "text"))
    count: ClassVar[int] = 250

    @pytest.fixture(autouse=True)
    def _filled(self, migrated: Roles) -> Iterator[None]:
        self.spools = Spools(migrated)
        self.hook = self.spools.make()
        self.spools.put(self.hook, *map(self.value, range(self.count)))
        yield
        self.spools.close()

    def value(self, number: int) -> bytes:
        return b'{"id": %d, "name": "n%d"}' % (number, number)

    def context(self) -> Context:
        return self.spools.context(self.hook, self.settings, self.fields)

    def broken(self) -> Sequence[Context]:
        return (
            self.spools.context("conn_" + "0" * 32, self.settings, self.fields),
            self.spools.context(self.hook, {"startAt": "yesterday"}),
            self.spools.context(self.hook, {"tombstones": "delete", "key": {"columns": ["id"]}}),
            self.spools.context(self.hook, {"metadata": {"offset": "o"}}),
        )


class TestJson(_Hook):
    rows = 250
    numbers = "id"


class TestSomeBroken(_Hook):
    def value(self, number: int) -> bytes:
        return b"{" if number % 10 == 0 else super().value(number)


@pytest.mark.slow
class TestFoundColumns(_Hook):
    rows = 250
    fields: ClassVar[Schema] = ()


@pytest.mark.slow
class TestLines(_Hook):
    rows = 500
    settings: ClassVar[dict[str, Any]] = {"format": "jsonl"}

    def value(self, number: int) -> bytes:
        return b'{"id": %d, "name": "a"}\n{"id": %d, "name": "b"}\n' % (number, number)


@pytest.mark.slow
class TestCsv(_Hook):
    rows = 250
    settings: ClassVar[dict[str, Any]] = {"format": "csv"}

    def value(self, number: int) -> bytes:
        return b'%d,"n, %d"' % (number, number)


@pytest.mark.slow
class TestRaw(_Hook):
    rows = 250
    settings: ClassVar[dict[str, Any]] = {"format": "raw", "metadata": {"key": "k", "headers": "h", "requestId": "r"}}
    fields: ClassVar[Schema] = ()
