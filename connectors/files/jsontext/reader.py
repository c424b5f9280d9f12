"""Reads blocks of JSON records into typed rows and rejects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from headrace.connectors.casting.columns import MAX_VALUE, cast_columns, cast_text
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.cells import joined_cells
from headrace.connectors.files.jsontext.rows import Columns, Faulty
from headrace.connectors.files.jsontext.typed import TypedColumns, Values
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
        chosen = [keys[field.name] for field in schema]
        self._columns = Columns(chosen)
        self._typed = TypedColumns(schema, chosen, texts_only=bool(nulls) or whole)

    def parse(self, block: Block, first_row: int, skip: int) -> Batch:
        """The rows of a block after the first `skip`."""
        typed = None if skip else self._typed.columns(block)
        faulty: Sequence[Faulty] = ()
        if typed is not None:
            sound, columns = typed
        else:
            texts = self._columns.texts(block, skip)
            self._typed.learn(texts)
            sound, columns, faulty = texts.sound, list(texts.columns), texts.faulty
        count = sound + len(faulty)
        numbers = np.arange(first_row + skip, first_row + skip + count, dtype=np.int64)
        if faulty:
            numbers = np.delete(numbers, [each.index - skip for each in faulty])
        raw = pl.DataFrame(
            [self._column(field, values, sound) for field, values in zip(self._schema, columns, strict=True)]
        )
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
        return Batch(frame, count, 0, rejects if rejects.height else no_rejects())

    def _column(self, field: Field, values: Values, count: int) -> pl.Series:
        if isinstance(values, pl.Series):
            found = values
        else:
            found = joined_cells(field.name, values, count, verbatim=field.data_type == "json", whole=self._whole).text
        if self._nulls and field.data_type != "json":
            empty = found.is_in(self._nulls).fill_null(value=False)
            if empty.any():
                found = found.set(empty, None)
        return found


def cast_json(values: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """Like `cast_text`; a whole number may also be written as 1.0."""
    found, bad = cast_text(values, field)
    if bad is None or field.data_type not in _INTEGERS or not values.filter(bad).str.contains(_WHOLE).any():
        return found, bad
    return cast_text(values.str.replace(_WHOLE, "$1"), field)
