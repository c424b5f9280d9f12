"""The base of formats whose records are JSON objects, or can be converted to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.column_names import canonical_name, match_names
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression import compression_of
from headrace.connectors.files.delimited.dialect import missing_column, missing_fields, near
from headrace.connectors.files.delimited.encoding import utf8_name
from headrace.connectors.files.delimited.infer import TypeStatistics
from headrace.connectors.files.delimited.records import CHUNK_BYTES
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.formats.options import check_options, null_values_of
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.reader import RowReader
from headrace.connectors.files.jsontext.survey import fields_of, survey
from headrace.connectors.files.streams import ByteStream, open_stream
from headrace.connectors.source import Batch, Fitting, Wanted, reserved
from headrace.ir.schema import Field, Schema


def column_names(keys: Sequence[str], name: str) -> dict[str, str]:
    """The column name of each key, if no fields are declared: without blanks around it, with a number if it is empty or
    taken. Raises SourceError(`bad_header`)."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for place, key in enumerate(keys, 1):
        column = plain = canonical_name(key) or f"column_{place}"
        number = 2
        while column in taken:
            column, number = f"{plain}_{number}", number + 1
        if reserved(column):
            raise SourceError(
                "bad_header", f"Column name '{column}' in {name} is reserved.", "Declare `fields` without it."
            )
        taken.add(column)
        found[key] = column
    return found


def keys_of(declared: Schema, keys: Sequence[str]) -> dict[str, str]:
    """The key of each declared column: the matching key, else the column's own name."""
    places = match_names([field.name for field in declared], keys)
    return {field.name: keys[places[field.name]] if field.name in places else field.name for field in declared}


def missing_column_notes(
    declared: Schema, keys: Sequence[str], name: str, options: Mapping[str, Any], *, rows: int
) -> tuple[str, ...]:
    """Notes about declared columns that no row has; objects may leave out nulls. Raises SourceError if no row has any
    declared column, or if `missingColumns` is `fail`."""
    there = keys_of(declared, keys)
    missing = missing_fields(declared, [column for column, key in there.items() if key in keys])
    if not missing or not rows:
        return ()
    if len(missing) == len(declared) or options.get("missingColumns") == "fail":
        raise missing_column(missing[0], keys, name)
    hints = [f"{column} ({near(column, keys)})" if near(column, keys) else column for column in missing]
    return (f"no row of {name} has {', '.join(hints)}: null in all",)


MIN_PIECE_BYTES = 4 << 20


class JsonRows(ABC):
    """Base of these formats. Numbers and nested values stay as written; strings lose quotes and escapes."""

    form: str
    whole = False
    """Whether the library that reads the file writes whole numbers as 1.0."""
    unpacked = False
    own: tuple[str, ...] = ()

    def __init__(
        self, options: Mapping[str, Any], *, chunk_bytes: int = CHUNK_BYTES, min_piece_bytes: int = MIN_PIECE_BYTES
    ) -> None:
        check_options(options, ("nullValues", *self.own), self.form)
        self._options = options
        self._encoding = str(options.get("encoding") or "utf-8")
        utf8_name(self._encoding)
        self._nulls = list(null_values_of(options))
        self._chunk_bytes, self._min_piece_bytes = chunk_bytes, min_piece_bytes

    @abstractmethod
    def _start(self, stream: ByteStream) -> int:
        """The offset of the first record. Raises SourceError."""

    @abstractmethod
    def _blocks(self, stream: ByteStream, start: int, end: int | None) -> Iterator[Block]:
        """The records from `start` to `end`. Raises SourceError."""

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """One pass over the file, which also collects the keys of records."""
        stream = self._stream(path, name)
        try:
            start = self._start(stream)
            found = survey(
                self._blocks(stream, start, None),
                start,
                name=name,
                pieces=pieces,
                least=self._min_piece_bytes,
                size=stream.size,
                declared=[field.name for field in declared],
            )
        finally:
            stream.close()
        notes: tuple[str, ...] = ()
        if declared:
            schema, guessed = declared, frozenset[str]()
            notes = (
                missing_column_notes(declared, found.keys, name, self._options, rows=found.rows)
                if found.complete
                else ()
            )
            keys = keys_of(declared, found.keys)
        else:
            columns = column_names(found.keys, name)
            fields, guessed = fields_of(found, columns, whole=self.whole)
            schema, keys = tuple(fields), {column: key for key, column in columns.items()}
        other = {column: key for column, key in keys.items() if column != key}
        also: dict[str, Any] = {"keys": other} if other else {}
        parts = [Piece(part.rows, {"start": part.start, "end": part.end, **also}) for part in found.slices]
        sure = frozenset(field.name for field in schema if field.data_type in ALWAYS_READABLE)
        names = tuple(field.name for field in schema) if not declared else tuple(found.keys)
        return Inspection(schema, parts, sure, guessed=guessed, notes=notes, columns=names)

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """One more pass over the file."""
        schema = tuple(Field(each, "text") for each in sorted(columns))
        seen = TypeStatistics(schema)
        stream = self._stream(path, name)
        try:
            start = self._start(stream)
            reader: RowReader | None = None
            for block in self._blocks(stream, start, None):
                if reader is None:
                    keys = survey(
                        [block], start, name=name, pieces=1, least=1, size=None, declared=[f.name for f in schema]
                    ).keys
                    reader = RowReader(schema, keys_of(schema, keys), self._nulls, whole=self.whole)
                seen.add(reader.parse(block, 1, 0).frame)
        finally:
            stream.close()
        return seen.found

    def read(
        self,
        path: Path,
        name: str,
        piece: Piece,
        schema: Schema,
        *,
        first_row: int,
        rows_done: int,
        position: int | None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        """`position` is the byte offset after the rows that are done."""
        chosen = tuple(field for field in schema if wanted is None or field.name in wanted.columns)
        keys: Mapping[str, str] = piece.location.get("keys", {})
        reader = RowReader(
            chosen, {field.name: keys.get(field.name, field.name) for field in chosen}, self._nulls, whole=self.whole
        )
        start, end = int(piece.location["start"]), int(piece.location["end"])
        skip = rows_done
        if rows_done and position is not None:
            start, skip = position, 0
        stream = self._stream(path, name)
        try:
            for block in self._blocks(stream, start, end):
                rows = block.rows
                if skip >= rows:
                    skip -= rows
                    continue
                batch = reader.parse(block, first_row + rows_done - skip, skip)
                rows_done += rows - skip
                skip = 0
                yield Batch(batch.frame, batch.rows, rows_done, batch.rejects, block.end_offset)
        finally:
            stream.close()
        if rows_done != piece.rows:
            raise SourceError(
                "source_changed",
                f"{name} has changed since the run started: {rows_done} rows where {piece.rows} were counted.",
                "Start a new run.",
            )

    def _stream(self, path: Path, name: str) -> ByteStream:
        return open_stream(path, self._encoding, compression_of(self._options, name))
