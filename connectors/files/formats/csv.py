"""CSV and TSV files: pieces are byte ranges that start and end at records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression import compression_of
from headrace.connectors.files.delimited.dialect import Dialect, check_declared, missing_fields, read_header
from headrace.connectors.files.delimited.infer import LocalNumbers, TypeStatistics, infer_schema
from headrace.connectors.files.delimited.known_chunks import Sound, known_chunks
from headrace.connectors.files.delimited.parse import ChunkParser
from headrace.connectors.files.delimited.records import CHUNK_BYTES, find_records, record_chunks
from headrace.connectors.files.delimited.scan import scan
from headrace.connectors.files.delimited.structure import Structure, places
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.streams import ByteStream, Forward, Plain, open_stream
from headrace.connectors.source import READER_NOTES, ROW, Batch, Fitting, Wanted
from headrace.ir.schema import Field, Schema

MIN_PIECE_BYTES = 4 << 20
"""The minimum size of a piece; below it, starting a task costs more than it saves."""


class Csv:
    """CSV files. Their options are in `connectors.files.settings`."""

    delimiter = ","
    unpacked = False

    def __init__(
        self, options: Mapping[str, Any], *, chunk_bytes: int = CHUNK_BYTES, min_piece_bytes: int = MIN_PIECE_BYTES
    ) -> None:
        self._dialect = Dialect.from_options(options, delimiter=self.delimiter)
        self._options = options
        self._chunk_bytes = chunk_bytes
        self._min_piece_bytes = min_piece_bytes

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """One pass over the file: counts records, divides it into pieces, infers types. Raises SourceError."""
        stream = self._stream(path, name)
        try:
            head = read_header(stream, self._dialect, declared, name)
            if stream.size is not None:
                pieces = max(1, min(pieces, (stream.size - head.start) // self._min_piece_bytes))
            dialect = self._dialect.of_file(head)
            found = scan(
                stream,
                head.start,
                dialect,
                pieces=pieces,
                name=name,
                columns=len(head.names),
                sampled=not declared,
                chunk_bytes=self._chunk_bytes,
            )
        finally:
            stream.close()
        schema = declared or infer_schema(found.samples, dialect, head.names, complete=found.complete)
        missing = missing_fields(schema, head.names)
        also: dict[str, Any] = {"lacking": list(missing)} if missing else {}
        pieces_found = [
            Piece(part.rows, {"start": part.start, "end": part.end, READER_NOTES: part.noted, **also})
            for part in found.slices
        ]
        guessed = frozenset() if declared else frozenset(head.names)
        if not declared and not dialect.numbers.plain:
            local = LocalNumbers(dialect.numbers, head.names)
            for frame in self._texts(path, name, head.names):
                local.add(frame)
            schema, guessed = local.schema(schema)
        sure = frozenset(field.name for field in schema if field.data_type in ALWAYS_READABLE)
        return Inspection(schema, pieces_found, sure, missing, guessed, head.notes, head.names)

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """One more pass over the file, in which only these columns are parsed."""
        there = sorted(columns)
        seen = None
        for frame in self._texts(path, name, there):
            if seen is None:
                seen = TypeStatistics(tuple(Field(each, "text") for each in frame.columns if each in columns))
            seen.add(frame)
        return seen.found if seen is not None else {}

    def _texts(self, path: Path, name: str, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """The cells of columns as text, in one more pass over the file."""
        stream = self._stream(path, name)
        try:
            head = read_header(stream, self._dialect, tuple(Field(each, "text") for each in columns), name)
            dialect = self._dialect.of_file(head)
            there = tuple(Field(each, "text") for each in head.names if each in columns)
            parser = ChunkParser(dialect, head.names, there)
            for _, chunk, shape in record_chunks(stream, head.start, None, dialect.marks, self._chunk_bytes):
                yield parser.parse(chunk, 1, shape).frame
        finally:
            stream.close()

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
        """`position` is the byte offset after the rows that are done. Unwanted columns are skipped; bounds are
        ignored."""
        stream = self._stream(path, name)
        try:
            head = read_header(stream, self._dialect, schema, name)
            missing = frozenset(piece.location.get("lacking", ()))
            check_declared(tuple(field for field in schema if field.name not in missing), head.names, name)
            begin, end = int(piece.location["start"]), int(piece.location["end"])
            dialect = self._dialect.of_file(head)
            start = begin
            if rows_done:
                start = position if position is not None else self._skip(stream, begin, end, rows_done, dialect)
            chosen = [field for field in schema if wanted is None or field.name in wanted.columns]
            read = [field for field in chosen if field.name not in missing]
            nulls = [pl.lit(None, polars_dtype(field)).alias(field.name) for field in chosen if field.name in missing]
            parser = ChunkParser(dialect, head.names, tuple(read))
            noted = piece.location.get(READER_NOTES, ())
            for end_offset, chunk, shape in known_chunks(
                stream, begin, end, start, noted, dialect.marks, self._chunk_bytes
            ):
                parsed = parser.parse(chunk, first_row + rows_done, shape)
                if not parsed.records:
                    continue
                rows_done += parsed.records
                frame = parsed.frame
                if nulls:
                    frame = frame.with_columns(nulls).select(*(field.name for field in chosen), ROW)
                first = first_row + rows_done - parsed.records
                cells = partial(_cells, dialect, head.names, chunk, shape, first)
                yield Batch(frame, parsed.records, rows_done, parsed.rejects, end_offset, cells=cells)
        finally:
            stream.close()
        if rows_done != piece.rows:
            raise SourceError(
                "source_changed",
                f"{name} has changed since the run started: {rows_done} rows where {piece.rows} were counted.",
                "Start a new run. If the file did not change, its quotes or line ends are read in two ways: report it.",
            )

    def _stream(self, path: Path, name: str) -> Plain | Forward:
        return open_stream(
            path, self._dialect.encoding, compression_of(self._options, name), self._dialect.text_filters
        )

    def _skip(self, stream: ByteStream, start: int, end: int, rows: int, dialect: Dialect) -> int:
        """The offset after the first `rows` records."""
        position = start
        for end_offset, chunk, known in record_chunks(stream, start, end, dialect.marks, self._chunk_bytes):
            shape = known or find_records(chunk, dialect.marks.unquoted, final=True)
            if shape.records >= rows:
                ends = places(shape.ends & ~shape.blanks if shape.blanks is not None else shape.ends, len(chunk))
                return position + int(ends[rows - 1]) + 1 if rows <= len(ends) else end_offset
            rows -= shape.records
            position = end_offset
        return end


def _cells(
    dialect: Dialect,
    names: tuple[str, ...],
    chunk: bytes,
    shape: Structure | Sound | None,
    first_row: int,
    columns: Collection[str],
    rows: pl.Series,
) -> pl.DataFrame:
    """Parses only these columns of these rows of a chunk, as text."""
    texts = tuple(Field(name, "text") for name in names if name in columns)
    return ChunkParser(dialect, names, texts).parse_rows(chunk, first_row, rows, shape).frame


class Tsv(Csv):
    """CSV with tabs."""

    delimiter = "\t"
