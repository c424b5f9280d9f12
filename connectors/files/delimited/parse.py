"""Parses a chunk of whole records into typed rows and rejects: a fast path, and a careful one for faulty chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.casting.columns import MAX_VALUE, cast_columns
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import Dialect
from headrace.connectors.files.delimited.encoding import byte_in_file, invalid_offsets
from headrace.connectors.files.delimited.known_chunks import Sound
from headrace.connectors.files.delimited.numbers import NUMERIC
from headrace.connectors.files.delimited.records import find_records
from headrace.connectors.files.delimited.structure import (
    BITS,
    NEWLINE,
    Structure,
    Words,
    bits_of,
    count,
    counts_before,
    nth_places,
    places,
    view,
)
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects
from headrace.ir.schema import Schema

NATIVE = ("text", "varchar", "smallint", "integer", "bigint", "double", "boolean")
"""Types that polars' CSV parser reads as strictly as PostgreSQL; the others are read as text and cast, which is as
fast."""


@dataclass(frozen=True, slots=True)
class ParsedChunk:
    """`frame` and `rejects` as in Batch; `records` is the number of records in the chunk."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    records: int


class ChunkParser:
    """Parses the chunks of one file into `schema`. `names` are the file's columns in order. Columns that are not in the
    schema are skipped, but a record must still have the right number of fields."""

    def __init__(self, dialect: Dialect, names: tuple[str, ...], schema: Schema) -> None:
        self._dialect = dialect
        self._names = names
        self._schema = schema
        self._separator = ord(dialect.delimiter)
        self._nulls = list(dialect.null_values) or None
        kept = {field.name for field in schema}
        # The indexes of the columns that are read; None for all. The last is always read, because it shows short lines.
        chosen = [place for place, name in enumerate(names) if name in kept or place == len(names) - 1]
        self._chosen = None if len(chosen) == len(names) else chosen
        # Columns that are read as text and cast. A column with a rejected value stays here: its next rejected value
        # then costs a cast of one column instead of a second parse of the chunk.
        self._as_text = {field.name for field in schema if field.data_type not in NATIVE}
        if not dialect.numbers.plain:
            self._as_text |= {field.name for field in schema if field.data_type in NUMERIC}
        self._cast = dialect.numbers.cast

    def parse(self, chunk: bytes, first_row: int, shape: Structure | Sound | None) -> ParsedChunk:
        """Parses whole records, the first of which has the row number `first_row`. `shape` are their positions, or what
        is known of them; None if quotes are irrelevant in the chunk, as from `record_chunks`."""
        if shape is None or isinstance(shape, Sound) or not shape.faulty:
            try:
                raw = self._read(chunk, self._as_text)
                if endless := self._endless(raw):
                    self._as_text |= endless
                    raw = self._read(chunk, self._as_text)
            except PolarsError:
                return self._careful(chunk, first_row, shape)
            if self._full(raw, chunk, shape):
                return self._typed(raw, _numbers(first_row, raw.height), no_rejects())
        return self._careful(chunk, first_row, shape)

    def parse_rows(self, chunk: bytes, first_row: int, rows: pl.Series, known: Structure | Sound | None) -> ParsedChunk:
        """Parses only the records with these row numbers (Int64, each once) of a chunk whose first has `first_row`;
        numbers outside of the chunk are ignored. `known` is the shape of `parse`. They are rows that `parse` gave, or
        rejected for a cell: without its neighbours a misplaced quote would mean something else."""
        shape = self._structure(chunk, known)
        chosen = np.unique(rows.to_numpy() - first_row)
        chosen = chosen[(chosen >= 0) & (chosen < shape.records)]
        if not len(chosen):
            return ParsedChunk(self._nothing(), no_rejects(), 0)
        kept = _join_records(chunk, *self._some_records(chunk, shape, chosen))
        quoted = known is not None and known.quoted
        parsed = self.parse(kept, 0, find_records(kept, self._dialect.marks, final=True) if quoted else None)
        numbers = pl.Series(chosen + first_row)
        return ParsedChunk(
            parsed.frame.with_columns(numbers.gather(parsed.frame.get_column(ROW)).alias(ROW)),
            parsed.rejects.with_columns(numbers.gather(parsed.rejects.get_column("row")).alias("row")),
            parsed.records,
        )

    def _structure(self, chunk: bytes, shape: Structure | Sound | None) -> Structure:
        if isinstance(shape, Structure):
            return shape
        if shape is not None:
            return shape.structure(chunk, self._dialect.marks)
        return find_records(chunk, self._dialect.marks.unquoted, final=True)

    def _full(self, raw: pl.DataFrame, chunk: bytes, shape: Structure | Sound | None) -> bool:
        """Whether every record has the right number of fields.

        Polars fills short lines with nulls, so no null in the last column means no short line. It refuses long lines,
        unless it skips columns or the file's last line ends in a separator. If only one of short and long lines can be
        ruled out, the total number of separators decides: without long lines and with the right total there are no
        short ones, and vice versa. Otherwise the fields of every record are counted. Where quotes matter, the number of
        rows must equal the number of records counted without polars; elsewhere the whole piece is compared with the
        scan. Of a sound chunk with quotes the right total is known.
        """
        if shape is not None and raw.height != shape.records:
            return False
        ended = raw.to_series(-1).null_count() == 0
        refused = self._chosen is None and not chunk.endswith(self._dialect.delimiter.encode())
        if ended and refused:
            return True
        total = raw.height * (len(self._names) - 1)
        if isinstance(shape, Sound) and (ended or refused):
            return shape.quoted or count(bits_of(view(chunk), self._separator)) == total
        if ended and shape is None:
            return count(bits_of(view(chunk), self._separator)) == total
        shape = self._structure(chunk, shape)
        separators = shape.separators(chunk, self._separator)
        if ended:
            return count(separators) == total
        if shape.blanks is not None or chunk.endswith(b"\r"):
            return False
        if refused:
            return count(separators) == total
        begins, ends = self._records(chunk, shape)
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
            eol_char=chr(self._dialect.eol),
        )

    def _as_texts(self, kept: bytes, rows: pl.Series) -> pl.DataFrame:
        try:
            return self._read(kept, None)
        except PolarsError as error:
            reason = str(error).strip().splitlines()[0]
            raise SourceError(
                "rows_differ",
                f"Rows {rows[0]} to {rows[-1]} cannot be read: {reason}",
                "Nothing of them was loaded. Check the quotes in these lines.",
            ) from None

    def _endless(self, raw: pl.DataFrame) -> set[str]:
        """Columns with an infinity: only their text shows whether it was written so or the number is too large."""
        floats = [column for column in raw.get_columns() if column.dtype.is_float()]
        return {column.name for column in floats if column.is_infinite().any()}

    def _typed(self, raw: pl.DataFrame, rows: pl.Series, rejects: pl.DataFrame) -> ParsedChunk:
        frame, more, _ = cast_columns(raw, rows, self._schema, self._cast)
        return ParsedChunk(frame, _concat_rejects(rejects, more), raw.height + rejects.height)

    def _careful(self, chunk: bytes, first_row: int, shape: Structure | Sound | None) -> ParsedChunk:
        """Rejects faulty records first, then cells that are not of their type."""
        shape = self._structure(chunk, shape)
        begins, ends = self._records(chunk, shape)
        if not len(begins):
            return ParsedChunk(self._nothing(), no_rejects(), 0)
        faults = self._faults(chunk, shape, begins, ends)
        good = np.ones(len(begins), dtype=bool)
        good[list(faults)] = False
        rejects = _rejected(chunk, first_row, begins, ends, faults)
        if not good.any():
            return ParsedChunk(self._nothing(), rejects, len(begins))
        kept = _join_records(chunk, begins[good], ends[good])
        rows = pl.Series("row", np.flatnonzero(good) + first_row, dtype=pl.Int64)
        try:
            raw = self._read(kept, self._as_text)
            if endless := self._endless(raw):
                self._as_text |= endless
                raw = self._read(kept, self._as_text)
        except PolarsError as error:
            raw = _check_height(self._as_texts(kept, rows), rows)
            frame, more, failing = cast_columns(raw, rows, self._schema, self._cast)
            named = {name for name in self._names if f"at column '{name}'" in str(error)}
            self._as_text |= named.union(failing)
            return ParsedChunk(frame, _concat_rejects(rejects, more), len(begins))
        parsed = self._typed(_check_height(raw, rows), rows, rejects)
        return ParsedChunk(parsed.frame, parsed.rejects, len(begins))

    def _faults(self, chunk: bytes, shape: Structure, begins: BITS, ends: BITS) -> dict[int, tuple[str, str]]:
        """(error, rule) of each faulty record, by its index."""
        faults: dict[int, tuple[str, str]] = {}
        expected = len(self._names)
        found = _fields(shape.separators(chunk, self._separator), begins, ends)
        for index in np.flatnonzero(found != expected).tolist():
            faults[index] = (f"Expected {expected} fields, found {found[index]}", "ragged")
        for index in _unique_records(shape.stray, begins):
            faults[index] = ("Quote in the wrong place: quote the whole field and double the quotes in it", "quote")
        for place in shape.unclosed.tolist():
            index = int(np.searchsorted(begins, place, side="right")) - 1
            column = chunk[begins[index] : place].decode("utf-8", "replace")
            message = f"The quote at character {len(column) + 1} opens a field that is not closed where a field may end"
            faults[index] = (f"{message}: close it, and double the quotes in it", "quote")
        if not chunk.isascii():
            invalid = invalid_offsets(chunk, self._dialect.eol)
            for index, place in zip(np.searchsorted(begins, invalid, side="right") - 1, invalid, strict=True):
                faults[int(index)] = (self._undecodable(chunk, place, int(begins[index])), "encoding")
        return faults

    def _undecodable(self, chunk: bytes, place: int, begin: int) -> str:
        """The message about an invalid byte."""
        character = len(chunk[begin:place].decode("utf-8", "replace")) + 1
        codec, byte = byte_in_file(chunk, place, self._dialect.encoding)
        return f"Not valid {codec}: byte 0x{byte:02X} at character {character} of the line; set options.encoding"

    def _records(self, chunk: bytes, shape: Structure) -> tuple[BITS, BITS]:
        """Begins and ends (positions of the line ends) of the records, without blank lines."""
        ends = places(shape.ends, len(chunk))
        if not len(ends) or ends[-1] != len(chunk) - 1:
            ends = np.append(ends, len(chunk))
        begins = np.empty_like(ends)
        begins[0], begins[1:] = 0, ends[:-1] + 1
        lengths = ends - begins
        data = view(chunk)
        blank = lengths == 0
        if self._dialect.eol == NEWLINE:
            blank |= (lengths == 1) & (data[np.minimum(begins, len(data) - 1)] == 13)
        return begins[~blank], ends[~blank]

    def _some_records(self, chunk: bytes, shape: Structure, chosen: BITS) -> tuple[BITS, BITS]:
        """Begins and ends of the records with these numbers (from 0, ascending), which are mostly few."""
        if shape.blanks is not None:
            begins, ends = self._records(chunk, shape)
            return begins[chosen], ends[chosen]
        last = shape.records - 1 if shape.unended else -1
        begins, ends = np.zeros_like(chosen), np.full_like(chosen, len(chunk))
        later, ended = chosen > 0, chosen != last
        found = nth_places(shape.ends, np.concatenate((chosen[later] - 1, chosen[ended])))
        begins[later], ends[ended] = found[: later.sum()] + 1, found[later.sum() :]
        return begins, ends

    def _nothing(self) -> pl.DataFrame:
        empty = pl.DataFrame(schema={field.name: polars_dtype(field) for field in self._schema})
        return cast_columns(empty, pl.Series([], dtype=pl.Int64), self._schema, self._cast)[0]


def _check_height(raw: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """The frame, if it has as many rows as were counted without polars. Raises SourceError(`rows_differ`)."""
    if raw.height != rows.len():
        raise SourceError(
            "rows_differ",
            f"Rows {rows[0]} to {rows[-1]} cannot be separated: {rows.len()} records were counted, but "
            f"{raw.height} read.",
            "Nothing of them was loaded. Check the quotes in these lines.",
        )
    return raw


def _fields(separators: Words, begins: BITS, ends: BITS) -> BITS:
    """The number of fields of each record."""
    return counts_before(separators, ends) - counts_before(separators, begins) + 1


def _numbers(first_row: int, rows: int) -> pl.Series:
    return pl.int_range(first_row, first_row + rows, dtype=pl.Int64, eager=True)


def _concat_rejects(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    if not second.height:
        return first
    return second if not first.height else pl.concat([first, second]).sort("row", maintain_order=True)


def _unique_records(positions: BITS, begins: BITS) -> list[int]:
    return [int(index) for index in np.unique(np.searchsorted(begins, positions, side="right") - 1)]


def _join_records(chunk: bytes, begins: BITS, ends: BITS) -> bytes:
    """The chosen records with their line ends; runs of neighbours are copied at once."""
    breaks = np.flatnonzero(begins[1:] != ends[:-1] + 1) + 1
    firsts = begins[np.concatenate(([0], breaks))]
    lasts = ends[np.concatenate((breaks - 1, [len(ends) - 1]))] + 1
    return b"".join([chunk[first:last] for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)])


def _rejected(
    chunk: bytes, first_row: int, begins: BITS, ends: BITS, faults: dict[int, tuple[str, str]]
) -> pl.DataFrame:
    """The rejects of whole records. Loops over the faulty records only."""
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
