"""Payloads that are JSON objects, one in each message or one on each line of it: numbers stay as they are written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from headrace.connectors.files.formats.json_rows import keys_of
from headrace.connectors.files.jsontext.cells import joined_cells
from headrace.connectors.files.jsontext.rows import Columns
from headrace.connectors.messages.lines import block_of, lines_of
from headrace.connectors.messages.messages import Decoded, Fault, Places
from headrace.ir.schema import Schema

_MAGIC = 5
"""The size of the prefix with a payload's schema: a zero and the id (Confluent's wire format)."""
_EMPTY = "Nothing where an object should be"
_FOREIGN = "It does not begin with the id of a schema (Confluent's wire format)"


class JsonPayloads:
    """Decodes objects into `schema`. With `closed` an object with another key is rejected: the columns come from a
    sample, and other keys would be lost."""

    def __init__(
        self,
        schema: Schema,
        keys: Mapping[str, str],
        nulls: Sequence[str],
        *,
        closed: bool = False,
        lines: bool = False,
        registered: bool = False,
    ) -> None:
        """`lines`: an object on each line; `registered`: each payload begins with the id of its schema."""
        self._schema, self._nulls, self._lines, self._registered = schema, list(nulls), lines, registered
        self._columns = Columns([keys[field.name] for field in schema], closed=closed)

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Decodes payloads into records."""
        of: Places = np.arange(len(values), dtype=np.int64)
        foreign: list[int] = []
        if self._registered:
            foreign = [place for place, value in enumerate(values) if value[:1] != b"\0"]
            values = [value[_MAGIC:] for value in values]
        if self._lines:
            values, of = lines_of(values)
        there: Places = np.arange(len(values), dtype=np.int64)
        block, blank = block_of(values), foreign
        if foreign or not (all(values) and block.plain and block.rows == len(values)):  # only then each is looked at
            blank = sorted({*foreign, *(place for place, value in enumerate(values) if not value.strip())})
        if blank:
            there = np.delete(there, blank)
            values = [values[place] for place in there.tolist()]
            block = block_of(values)
        rows = self._columns.texts(block)
        faults = [Fault(place, b"", _FOREIGN if place in foreign else _EMPTY, "json") for place in blank]
        sound = there
        if rows.faulty:
            faults += [Fault(int(there[each.index]), each.text, each.error, each.rule) for each in rows.faulty]
            sound = np.delete(there, [each.index for each in rows.faulty])
        raw = pl.DataFrame(
            [
                self._nulled(
                    joined_cells(field.name, rows.columns[place], rows.sound, verbatim=field.data_type == "json").text,
                    is_json=field.data_type == "json",
                )
                for place, field in enumerate(self._schema)
            ]
        )
        return Decoded(raw, of, sound, faults)

    def _nulled(self, values: pl.Series, *, is_json: bool) -> pl.Series:
        if not self._nulls or is_json:
            return values
        empty = values.is_in(self._nulls).fill_null(value=False)
        return values.set(empty, None) if empty.any() else values


def declared_keys(schema: Schema, keys: Sequence[str]) -> dict[str, str]:
    """The key of each column: the objects' key that matches its name, else the name."""
    return keys_of(schema, keys)
