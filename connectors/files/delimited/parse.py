"""One chunk of whole records into typed rows and rejects: optimistic first, careful only when something is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from connectors.base import REJECT_SCHEMA, no_rejects
from connectors.casting import MAX_VALUE, cast_text, settle
from connectors.files.delimited.dialect import Dialect
from connectors.files.delimited.encoding import undecodable
from connectors.files.delimited.quoting import misplaced
from connectors.files.delimited.structure import (
    BITS,
    Carry,
    Structure,
    Words,
    bits_of,
    count,
    counts_before,
    places,
    structure,
    view,
)
from connectors.types import polars_dtype
from ir.schema import Schema

NATIVE = ("text", "varchar", "smallint", "integer", "bigint", "double", "boolean")
"""Types polars' CSV parser reads as strictly as we do; the others are read as text and cast, which is as fast."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """`frame` and `rejects` as in Batch; `records` is how many records the chunk held."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    records: int


class ChunkParser:
    """Parses the chunks of one file into `schema`; `names` are the file's columns in order. Those that are not in the
    schema are passed over; whether a record has the right number of fields is judged all the same."""

    def __init__(self, dialect: Dialect, names: tuple[str, ...], schema: Schema) -> None:
        self._dialect = dialect
        self._names = names
        self._schema = schema
        self._separator = ord(dialect.delimiter)
        self._nulls = list(dialect.null_values) or None
        kept = {field.name for field in schema}
        # The places of the columns that are read, the last because it tells short lines; None for all.
        chosen = [place for place, name in enumerate(names) if name in kept or place == len(names) - 1]
        self._chosen = None if len(chosen) == len(names) else chosen
        # Columns read as text and cast. A column that failed once stays here: its next offender then costs a cast of
        # one column, not a second reading of the chunk.
        self._as_text = {field.name for field in schema if field.data_type not in NATIVE}

    def parse(self, chunk: bytes, first_row: int) -> Parsed:
        """Parses whole records whose first has the row number `first_row`."""
        if self._orderly(chunk):
            try:
                raw = self._read(chunk, self._as_text)
                if endless := self._endless(raw):
                    self._as_text |= endless
                    raw = self._read(chunk, self._as_text)
            except PolarsError:
                return self._careful(chunk, first_row)
            if self._full(raw, chunk):
                return self._typed(raw, _numbers(first_row, raw.height), no_rejects())
        return self._careful(chunk, first_row)

    def _quoted(self, chunk: bytes) -> bool:
        quote = self._dialect.quote_byte
        return quote is not None and quote in chunk

    def _orderly(self, chunk: bytes) -> bool:
        quote = self._dialect.quote_byte
        return quote is None or quote not in chunk or not len(misplaced(chunk, quote, self._separator))

    def _full(self, raw: pl.DataFrame, chunk: bytes) -> bool:
        """Every record has the right number of fields. Polars fills short lines with nulls: no null at the end, none
        short. Long ones it refuses, unless it passes columns over, or a file's last line ends in a separator.

        Where one of both is certain the total decides: if no line is longer and the total fits, none is shorter, and
        the other way round. Else every record is counted.
        """
        ended = raw.to_series(-1).null_count() == 0
        refused = self._chosen is None and not chunk.endswith(self._dialect.delimiter.encode())
        if ended and refused:
            return True
        total = raw.height * (len(self._names) - 1)
        if ended and not self._quoted(chunk):
            return int(np.count_nonzero(view(chunk) == self._separator)) == total
        shape = structure(chunk, self._dialect.quote_byte, Carry())
        separators = self._separators(chunk, shape)
        if ended:
            return count(separators) == total
        if shape.blanks is not None or chunk.endswith(b"\r"):
            return False
        if refused:
            return count(separators) == total
        begins, ends = _records(chunk, shape)
        return len(begins) == raw.height and bool((_fields(separators, begins, ends) == len(self._names)).all())

    def _read(self, chunk: bytes, as_text: set[str] | None) -> pl.DataFrame:
        typed = {field.name: field for field in self._schema}
        dtypes = {
            name: pl.String if as_text is None or name in as_text or name not in typed else polars_dtype(typed[name])
            for name in self._names
        }
        return pl.read_csv(
            chunk,
            schema=dtypes,
            columns=self._chosen,
            has_header=False,
            separator=self._dialect.delimiter,
            quote_char=self._dialect.quote,
            null_values=self._nulls,
        )

    def _endless(self, raw: pl.DataFrame) -> set[str]:
        """Columns that hold an infinity: their text says whether it was written or is a number too large."""
        floats = [column for column in raw.get_columns() if column.dtype.is_float()]
        return {column.name for column in floats if column.is_infinite().any()}

    def _typed(self, raw: pl.DataFrame, rows: pl.Series, rejects: pl.DataFrame) -> Parsed:
        frame, more, _ = settle(raw, rows, self._schema, cast_text)
        return Parsed(frame, _joined(rejects, more), raw.height + rejects.height)

    def _careful(self, chunk: bytes, first_row: int) -> Parsed:
        """Takes out the records that are not records of this file, then the cells that are not of their type."""
        shape = structure(chunk, self._dialect.quote_byte, Carry())
        begins, ends = _records(chunk, shape)
        if not len(begins):
            return Parsed(self._nothing(), no_rejects(), 0)
        faults = self._faults(chunk, _fields(self._separators(chunk, shape), begins, ends), begins)
        good = np.ones(len(begins), dtype=bool)
        good[list(faults)] = False
        rejects = _rejected(chunk, first_row, begins, ends, faults)
        if not good.any():
            return Parsed(self._nothing(), rejects, len(begins))
        kept = _join_records(chunk, begins[good], ends[good])
        rows = pl.Series("row", np.flatnonzero(good) + first_row, dtype=pl.Int64)
        try:
            raw = self._read(kept, self._as_text)
            if endless := self._endless(raw):
                self._as_text |= endless
                raw = self._read(kept, self._as_text)
        except PolarsError as error:
            raw = self._read(kept, None)
            frame, more, failing = settle(raw, rows, self._schema, cast_text)
            named = {name for name in self._names if f"at column '{name}'" in str(error)}
            self._as_text |= named.union(failing)
            return Parsed(frame, _joined(rejects, more), len(begins))
        parsed = self._typed(raw, rows, rejects)
        return Parsed(parsed.frame, parsed.rejects, len(begins))

    def _separators(self, chunk: bytes, shape: Structure) -> Words:
        """Those between fields."""
        separators = bits_of(view(chunk), self._separator)
        return separators if shape.inside is None else separators & ~shape.inside

    def _faults(self, chunk: bytes, found: BITS, begins: BITS) -> dict[int, tuple[str, str]]:
        """(error, rule) of each record that cannot be taken apart, by its index; `found` are their fields."""
        faults: dict[int, tuple[str, str]] = {}
        expected = len(self._names)
        for index in np.flatnonzero(found != expected).tolist():
            faults[index] = (f"Expected {expected} fields, found {found[index]}", "ragged")
        quote = self._dialect.quote_byte
        if quote is not None and quote in chunk:
            for index in _unique_records(misplaced(chunk, quote, self._separator), begins):
                faults[index] = ("Quote in the wrong place: quote the whole field and double the quotes in it", "quote")
        if not chunk.isascii():
            invalid = undecodable(chunk)
            for index, place in zip(np.searchsorted(begins, invalid, side="right") - 1, invalid, strict=True):
                faults[int(index)] = (f"Not valid UTF-8: byte 0x{chunk[place]:02X}; set options.encoding", "encoding")
        return faults

    def _nothing(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema={field.name: polars_dtype(field) for field in self._schema})
        return settle(empty, pl.Series([], dtype=pl.Int64), self._schema, cast_text)[0]


def _records(chunk: bytes, shape: Structure) -> tuple[BITS, BITS]:
    """Begins and ends (the newline's place) of the records, blank lines left out."""
    ends = places(shape.ends, len(chunk))
    if not len(ends) or ends[-1] != len(chunk) - 1:
        ends = np.append(ends, len(chunk))
    begins = np.empty_like(ends)
    begins[0], begins[1:] = 0, ends[:-1] + 1
    lengths = ends - begins
    data = view(chunk)
    blank = (lengths == 0) | ((lengths == 1) & (data[np.minimum(begins, len(data) - 1)] == 13))
    return begins[~blank], ends[~blank]


def _fields(separators: Words, begins: BITS, ends: BITS) -> BITS:
    """How many fields each record has."""
    return counts_before(separators, ends) - counts_before(separators, begins) + 1


def _numbers(first_row: int, rows: int) -> pl.Series:
    return pl.int_range(first_row, first_row + rows, dtype=pl.Int64, eager=True)


def _joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    if not second.height:
        return first
    return second if not first.height else pl.concat([first, second]).sort("row", maintain_order=True)


def _unique_records(positions: BITS, begins: BITS) -> list[int]:
    return [int(index) for index in np.unique(np.searchsorted(begins, positions, side="right") - 1)]


def _join_records(chunk: bytes, begins: BITS, ends: BITS) -> bytes:
    """The chosen records with their newlines, copied run by run of neighbours."""
    breaks = np.flatnonzero(begins[1:] != ends[:-1] + 1) + 1
    firsts = begins[np.concatenate(([0], breaks))]
    lasts = ends[np.concatenate((breaks - 1, [len(ends) - 1]))] + 1
    return b"".join([chunk[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)])


def _rejected(
    chunk: bytes, first_row: int, begins: BITS, ends: BITS, faults: dict[int, tuple[str, str]]
) -> pl.DataFrame:
    """The rejects of whole records; loops over the offenders only, to build their messages."""
    if not faults:
        return no_rejects()
    indexes = sorted(faults)
    lines = [
        chunk[begins[index] : min(ends[index], begins[index] + 4 * MAX_VALUE)].decode("utf-8", "replace")
        for index in indexes
    ]
    return pl.DataFrame(
        {
            "row": [first_row + index for index in indexes],
            "column": [None] * len(indexes),
            "value": [line.removesuffix("\r")[:MAX_VALUE] for line in lines],
            "error": [faults[index][0] for index in indexes],
            "rule": [faults[index][1] for index in indexes],
        },
        schema=REJECT_SCHEMA,
    )
