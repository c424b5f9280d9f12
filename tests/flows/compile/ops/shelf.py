"""A table to look things up in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.flows.compile import ReferenceTable
from headrace.ir.schema import Field
from tests.flows.compile.ops.cases import Op

FIELDS = (
    Field("code", "text"),
    Field("number", "integer"),
    Field("key", "uuid"),
    Field("since", "date"),
    Field("name", "text"),
    Field("id", "bigint"),
)


UUID = "123e4567-e89b-12d3-a456-426614174000"


ROWS = [("a", 1, UUID, date(2024, 1, 1), "Ann", 10), ("ä", 2, None, date(2024, 2, 29), None, 20)]


class Shelf:
    """A reference table in memory that counts how often it is read."""

    def __init__(self, rows: Sequence[tuple[Any, ...]] = ROWS) -> None:
        schema = {field.name: polars_dtype(field) for field in FIELDS}
        self.rows = pl.DataFrame(list(rows), schema=schema, orient="row")
        self.reads = 0

    def read(self, columns: Sequence[str], keys: int) -> pl.DataFrame:
        self.reads += 1
        return self.rows.select(columns).drop_nulls(columns[:keys])

    @property
    def tables(self) -> dict[str, ReferenceTable]:
        return {"public.ds_things": ReferenceTable("public.ds_things", FIELDS, self.read)}


def lookup(field: str = "text", key: str = "code", **more: Any) -> Op:
    op = {"type": "lookup_join", "table": "ds_things", "on": [{"field": field, "key": key}], "select": ["name"]}
    return {**op, **more}
