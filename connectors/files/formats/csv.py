"""CSV and TSV files: pieces are byte ranges that start and end at records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from connectors.base import Batch, SourceError, Wanted
from connectors.casting import ALWAYS_READABLE
from connectors.files.delimited.chunks import CHUNK_BYTES, record_chunks
from connectors.files.delimited.dialect import Dialect, check_declared, read_head
from connectors.files.delimited.infer import infer
from connectors.files.delimited.parse import ChunkParser
from connectors.files.delimited.scan import scan
from connectors.files.delimited.structure import Carry, places, structure
from connectors.files.formats.base import Inspection, Piece
from connectors.files.streams import ByteStream, open_stream
from ir.schema import Schema

MIN_PIECE_BYTES = 4 << 20
"""A piece is at least this long: below it, starting a task costs more than it saves."""


class Csv:
    """Options: delimiter, header, encoding, quote, nullValues."""

    delimiter = ","

    def __init__(
        self, options: Mapping[str, Any], *, chunk_bytes: int = CHUNK_BYTES, min_piece_bytes: int = MIN_PIECE_BYTES
    ) -> None:
        self._dialect = Dialect.from_options(options, delimiter=self.delimiter)
        self._chunk_bytes = chunk_bytes
        self._min_piece_bytes = min_piece_bytes

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """One pass over the file: counts records, cuts pieces, samples types. Raises SourceError."""
        stream = open_stream(path, self._dialect.encoding)
        try:
            head = read_head(stream, self._dialect, declared, name)
            check_declared(declared, head.names, name)
            if stream.size is not None:
                pieces = max(1, min(pieces, (stream.size - head.start) // self._min_piece_bytes))
            found = scan(stream, head.start, self._dialect, pieces=pieces, name=name)
        finally:
            stream.close()
        schema = declared or infer(found.samples, self._dialect, head.names, complete=found.complete)
        pieces_found = [Piece(part.rows, {"start": part.start, "end": part.end}) for part in found.slices]
        sure = frozenset(field.name for field in schema if field.data_type in ALWAYS_READABLE)
        return Inspection(schema, pieces_found, sure)

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
        """See FileFormat; `position` is the byte offset behind the rows that are done. Columns that nobody
        wants are passed over, bounds mean nothing here."""
        stream = open_stream(path, self._dialect.encoding)
        try:
            head = read_head(stream, self._dialect, schema, name)
            check_declared(schema, head.names, name)
            start, end = int(piece.location["start"]), int(piece.location["end"])
            if rows_done:
                start = position if position is not None else self._skip(stream, start, end, rows_done)
            read = [field for field in schema if wanted is None or field.name in wanted.columns]
            parser = ChunkParser(self._dialect, head.names, tuple(read))
            for behind, chunk in record_chunks(stream, start, end, self._dialect.quote_byte, self._chunk_bytes):
                parsed = parser.parse(chunk, first_row + rows_done)
                if not parsed.records:
                    continue
                rows_done += parsed.records
                yield Batch(parsed.frame, parsed.records, rows_done, parsed.rejects, behind)
        finally:
            stream.close()
        if rows_done != piece.rows:
            raise SourceError(
                "source_changed",
                f"{name} is not what it was when the run started: {rows_done} rows where {piece.rows} were counted.",
                "Start a new run.",
            )

    def _skip(self, stream: ByteStream, start: int, end: int, rows: int) -> int:
        """The offset behind the first `rows` records."""
        position = start
        for behind, chunk in record_chunks(stream, start, end, self._dialect.quote_byte, self._chunk_bytes):
            shape = structure(chunk, self._dialect.quote_byte, Carry())
            if shape.records >= rows:
                ends = places(shape.ends & ~shape.blanks if shape.blanks is not None else shape.ends, len(chunk))
                return position + int(ends[rows - 1]) + 1
            rows -= shape.records
            position = behind
        return end


class Tsv(Csv):
    """CSV with tabs."""

    delimiter = "\t"
