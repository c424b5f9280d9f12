"""Fixed-width text: each line is a row, each column a range of its characters. Pieces are byte ranges."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import ALWAYS_READABLE, cast_columns
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.compression import compression_of
from headrace.connectors.files.delimited.dialect import BOM, Dialect, check_declared, missing_fields, offset_after_lines
from headrace.connectors.files.delimited.infer import LocalNumbers, TypeStatistics, infer_field
from headrace.connectors.files.delimited.parse import ChunkParser, ParsedChunk
from headrace.connectors.files.delimited.records import CHUNK_BYTES, record_chunks
from headrace.connectors.files.delimited.scan import scan
from headrace.connectors.files.delimited.structure import NEWLINE
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.formats.options import check_options, null_values_of
from headrace.connectors.files.streams import ByteStream, open_stream
from headrace.connectors.source import ROW, Batch, Fitting, Wanted, no_rejects, reserved
from headrace.ir.base import is_whole_number
from headrace.ir.schema import Field, Schema

MIN_PIECE_BYTES = 4 << 20
_LINE = "line"
_NO_DELIMITER = "\x1f"
_OWN = ("columns", "encoding", "skipRows", "nullValues", "decimal", "thousands")


class Fixed:
    """Options: columns, encoding, skipRows, nullValues, decimal, thousands."""

    unpacked = False

    def __init__(
        self, options: Mapping[str, Any], *, chunk_bytes: int = CHUNK_BYTES, min_piece_bytes: int = MIN_PIECE_BYTES
    ) -> None:
        check_options(options, _OWN, "fixed")
        self._options = options
        self._columns = _columns(options.get("columns"))
        kept = {name: options[name] for name in ("encoding", "skipRows", "decimal", "thousands") if name in options}
        self._dialect = Dialect.from_options({**kept, "quote": None, "header": False}, delimiter=_NO_DELIMITER)
        self._nulls = list(null_values_of(options))
        self._chunk_bytes, self._min_piece_bytes = chunk_bytes, min_piece_bytes

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """One pass over the file: counts lines, divides it into pieces, infers types."""
        names = tuple(self._columns)
        missing = missing_fields(declared, names)
        stream = self._stream(path, name)
        try:
            start = self._start(stream)
            if stream.size is not None:
                pieces = max(1, min(pieces, (stream.size - start) // self._min_piece_bytes))
            found = scan(stream, start, self._dialect, pieces=pieces, name=name)
        finally:
            stream.close()
        texts = tuple(Field(column, "text") for column in names)
        schema = declared or self._guessed(texts, found.samples)
        also: dict[str, Any] = {"lacking": list(missing)} if missing else {}
        parts = [Piece(part.rows, {"start": part.start, "end": part.end, **also}) for part in found.slices]
        guessed = frozenset() if declared else frozenset(names)
        if not declared and not self._dialect.numbers.plain:
            local = LocalNumbers(self._dialect.numbers, names)
            for frame in self._texts(path, name, names):
                local.add(frame)
            schema, guessed = local.schema(schema)
        sure = frozenset(field.name for field in schema if field.data_type in ALWAYS_READABLE)
        return Inspection(schema, parts, sure, missing, guessed, columns=names)

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """One more pass over the file."""
        seen = TypeStatistics(tuple(Field(column, "text") for column in self._columns if column in columns))
        for frame in self._texts(path, name, columns):
            seen.add(frame)
        return seen.found

    def _texts(self, path: Path, name: str, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """The cells of columns as text, in one more pass over the file."""
        there = tuple(Field(column, "text") for column in self._columns if column in columns)
        stream = self._stream(path, name)
        try:
            for _, chunk, _ in record_chunks(stream, self._start(stream), None, self._dialect.marks, self._chunk_bytes):
                yield self._parsed(chunk, 1, there).frame
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
        """`position` is the byte offset after the rows that are done."""
        missing = frozenset(piece.location.get("lacking", ()))
        check_declared(tuple(field for field in schema if field.name not in missing), tuple(self._columns), name)
        chosen = [field for field in schema if wanted is None or field.name in wanted.columns]
        there = tuple(field for field in chosen if field.name not in missing)
        nulls = [pl.lit(None, polars_dtype(field)).alias(field.name) for field in chosen if field.name in missing]
        start, end = int(piece.location["start"]), int(piece.location["end"])
        skip = rows_done
        if rows_done and position is not None:
            start, skip = position, 0
        done = rows_done - skip
        stream = self._stream(path, name)
        try:
            for end_offset, chunk, _ in record_chunks(stream, start, end, self._dialect.marks, self._chunk_bytes):
                parsed = self._parsed(chunk, first_row + done, there)
                done += parsed.records
                if done <= rows_done:
                    continue
                fresh, rejects, rows = parsed.frame, parsed.rejects, done - rows_done
                if rows < parsed.records:
                    fresh = fresh.filter(pl.col(ROW) >= first_row + rows_done)
                    rejects = rejects.filter(pl.col("row") >= first_row + rows_done)
                rows_done = done
                if nulls:
                    fresh = fresh.with_columns(nulls).select(*(field.name for field in chosen), ROW)
                yield Batch(fresh, rows, rows_done, rejects if rejects.height else no_rejects(), end_offset)
        finally:
            stream.close()
        if rows_done != piece.rows:
            raise SourceError("source_changed", f"{name} has changed since the run started.", "Start a new run.")

    def _stream(self, path: Path, name: str) -> ByteStream:
        return open_stream(path, self._dialect.encoding, compression_of(self._options, name))

    def _start(self, stream: ByteStream) -> int:
        head = stream.read_at(0, len(BOM))
        if not head:
            raise SourceError("empty_file", "It is empty.", "A file of fixed widths has at least one line.")
        return offset_after_lines(stream, len(BOM) if head == BOM else 0, self._dialect.skip_rows, NEWLINE)

    def _parsed(self, chunk: bytes, first_row: int, fields: Schema) -> ParsedChunk:
        lines = ChunkParser(self._dialect, (_LINE,), (Field(_LINE, "text"),)).parse(chunk, first_row, None)
        raw = lines.frame.select([self._column(field.name) for field in fields])
        frame, rejects, _ = cast_columns(raw, lines.frame.get_column(ROW), fields, self._dialect.numbers.cast)
        if lines.rejects.height:
            rejects = pl.concat([lines.rejects, rejects]).sort("row", maintain_order=True)
        return ParsedChunk(frame, rejects, lines.records)

    def _column(self, name: str) -> pl.Expr:
        start, width = self._columns[name]
        text = pl.col(_LINE).str.slice(start, width).str.strip_chars()
        empty = text.is_in(["", *self._nulls])
        return pl.when(~empty).then(text).alias(name)

    def _guessed(self, texts: Schema, samples: list[bytes]) -> Schema:
        frames = [self._parsed(sample, 1, texts).frame for sample in samples if sample]
        if not frames:
            return texts
        numbers = self._dialect.numbers
        columns = [pl.concat(frames).get_column(field.name) for field in texts]
        return tuple(
            infer_field(each if numbers.plain else numbers.rewritten(each), complete=False) for each in columns
        )


def _columns(given: Any) -> dict[str, tuple[int, int]]:
    """Index of the first character, from 0, and width of each column. Raises SourceError(`bad_option`)."""
    if not isinstance(given, list) or not given:
        hint = 'For example [{"name": "id", "start": 1, "width": 8}].'
        raise SourceError("bad_option", "options.columns must say where the columns of a line are.", hint)
    found: dict[str, tuple[int, int]] = {}
    for place, column in enumerate(given, 1):
        where = f"options.columns: column {place}"
        if not isinstance(column, Mapping) or set(column) != {"name", "start", "width"}:
            raise SourceError("bad_option", f"{where} must have name, start and width, and nothing else.")
        name, start, width = str(column["name"]), column["start"], column["width"]
        if not name or reserved(name) or name in found:
            raise SourceError("bad_option", f"{where} cannot be called {name!r}.", "Give each a name of its own.")
        if not all(is_whole_number(each) and 0 < each <= 1_000_000 for each in (start, width)):
            raise SourceError("bad_option", f"{where}: start (from 1) and width must be whole numbers.")
        found[name] = (start - 1, width)
    return found
