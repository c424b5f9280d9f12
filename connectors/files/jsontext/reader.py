"""Reads blocks of JSON records into typed rows and rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.connectors.casting.columns import MAX_VALUE, cast_columns, cast_text
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.cells import cells
from headrace.connectors.files.jsontext.rows import Columns
from headrace.connectors.source import REJECT_SCHEMA, Batch, no_rejects
from headrace.ir.schema import Field, Schema

_WHOLE = r"^\s*([+-]?\d+)\.0+\s*$"
_INTEGERS = ("smallint", "integer", "bigint")


class RowReader:
    """Turns blocks into typed rows and rejects. `keys` has the key of each column."""

    def __init__(
        self, schema: Schema, keys: Mapping[str, str], nulls: Sequence[str] = (), *, whole: bool = False
    ) -> None:
        self._schema, self._nulls, self._whole = schema, list(nulls), whole
        self._columns = Columns([keys[field.name] for field in schema])

    def parse(self, block: Block, first_row: int, skip: int) -> Batch:
        """The rows of a block after the first `skip`."""
        rows = self._columns.rows(block)
        faulty = [each for each in rows.faulty if each.index >= skip]
        numbers = np.arange(first_row, first_row + rows.count, dtype=np.int64)
        if rows.faulty:
            numbers = np.delete(numbers, [each.index for each in rows.faulty])
        sound = rows.sound[skip - (len(rows.faulty) - len(faulty)) :] if skip else rows.sound
        numbers = numbers[len(numbers) - len(sound) :]
        raw = pl.DataFrame([self._column(sound, place, field) for place, field in enumerate(self._schema)])
        frame, rejects, _ = cast_columns(raw, pl.Series(numbers), self._schema, cast_json)
        if faulty:
            bad = pl.DataFrame(
                {
                    "row": [first_row + each.index for each in faulty],
                    "column": [None] * len(faulty),
                    "value": [each.text[: 4 * MAX_VALUE].decode("utf-8", "replace")[:MAX_VALUE] for each in faulty],
                    "error": [each.error for each in faulty],
                    "rule": [each.rule for each in faulty],
                },
                schema=REJECT_SCHEMA,
            )
            rejects = pl.concat([bad, rejects]).sort("row", maintain_order=True)
        return Batch(frame, len(sound) + len(faulty), 0, rejects if rejects.height else no_rejects())

    def _column(self, rows: Any, place: int, field: Field) -> pl.Series:
        values = self._columns.values(rows, place)
        found = cells(field.name, values, verbatim=field.data_type == "json", whole=self._whole).text
        if self._nulls and field.data_type != "json":
            empty = found.is_in(self._nulls).fill_null(value=False)
            if empty.any():
                found = found.set(empty, None)
        return found


def cast_json(values: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """Like `cast_text`; a whole number may also be written as 1.0."""
    if field.data_type in _INTEGERS and values.str.contains(".", literal=True).any():
        values = values.str.replace(_WHOLE, "$1")
    return cast_text(values, field)
