"""Payloads that are lines of delimited text without a header."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.parse import ChunkParser
from headrace.connectors.files.delimited.records import find_records
from headrace.connectors.messages.lines import lines_of
from headrace.connectors.messages.messages import Decoded, Fault, Places
from headrace.connectors.source import ROW
from headrace.ir.schema import Field, Schema


class CsvPayloads:
    """Decodes records with the columns `names` into `schema`. A record is a line: a quoted line end is an error."""

    def __init__(self, schema: Schema, names: tuple[str, ...], dialect: Dialect) -> None:
        self._dialect, self._schema = dialect, schema
        # as texts, so that cells are cast and reported like those of other payloads
        self._parser = ChunkParser(dialect, names, tuple(Field(field.name, "text") for field in schema))

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Decodes payloads into records."""
        lines, of = lines_of(values)
        quote = self._dialect.quote
        faults: list[Fault] = []
        there: Places = np.arange(len(lines), dtype=np.int64)
        bad = {place: ("An empty record", "ragged") for place, line in enumerate(lines) if not line.strip()}
        if quote is not None and any(quote.encode() in line for line in lines):
            # an unclosed quote would swallow the next record
            odd = [place for place, line in enumerate(lines) if line.count(quote.encode()) % 2]
            bad |= dict.fromkeys(odd, ("A quote is not closed", "quote"))
        if bad:
            faults = [Fault(place, lines[place], *why) for place, why in bad.items()]
            there = np.delete(there, list(bad))
        chunk = b"".join(lines[place].removesuffix(b"\r") + b"\n" for place in there.tolist())
        if not chunk:
            return Decoded(self._nothing(), of, there, faults)
        found = self._parser.parse(chunk, 0, find_records(chunk, self._dialect.marks, final=True))
        assert found.records == len(there), "every line is a record"
        sound = there[found.frame.get_column(ROW).to_numpy()]
        rejected = found.rejects.unique("row", keep="first", maintain_order=True)
        for row, error, rule in rejected.select("row", "error", "rule").iter_rows():
            faults.append(Fault(int(there[row]), lines[int(there[row])], error, rule))
        return Decoded(found.frame.drop(ROW), of, sound, faults)

    def _nothing(self) -> pl.DataFrame:
        return pl.DataFrame(schema={field.name: pl.String for field in self._schema})
