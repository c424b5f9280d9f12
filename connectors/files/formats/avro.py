"""Avro files: pieces are runs of blocks."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.codecs import unpacked
from headrace.connectors.files.avro.columns import columns_of
from headrace.connectors.files.avro.container import Block, Container
from headrace.connectors.files.avro.decoding import Decoder
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.formats.options import check_options
from headrace.connectors.files.formats.typed_rows import BatchBuilder, split_into_runs, typed_inspection
from headrace.connectors.source import Batch, Fitting, Wanted
from headrace.ir.schema import Schema

BATCH_ROWS = 65_536
BATCH_BYTES = 16 << 20


class Avro:
    """Avro files. They have no options."""

    unpacked = True

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        check_options(options, (), "avro")
        self._batch_rows = batch_rows

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """Reads the header and the row count of each block."""
        with Container(path) as file:
            own = tuple(column.field for column in columns_of(file.schema))
            blocks = list(file.blocks(file.start))
            parts = split_into_runs([block.rows for block in blocks], pieces)
            found = [
                Piece(
                    rows,
                    {
                        "start": blocks[first].start if rows else file.start,
                        "end": blocks[stop - 1].end if rows else file.start,
                    },
                )
                for first, stop, rows in parts
            ]
        return typed_inspection(own, declared, found)

    def types_of(self, path: Path, name: str, columns: Collection[str]) -> Mapping[str, Fitting]:
        """Empty: the file declares its types."""
        return {}

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
        """`position` is the offset of the next block."""
        start, end = int(piece.location["start"]), int(piece.location["end"])
        skip = rows_done
        if rows_done and position is not None:
            start, skip = position, 0
        rows = BatchBuilder(schema, piece.location, wanted)
        with Container(path) as file:
            decoder = Decoder(file.schema, columns_of(file.schema))
            for some in self._some(file, start, end, skip):
                raw = decoder.frame(b"".join(some.data), some.rows, some.start).slice(some.skip)
                begin, rows_done = first_row + rows_done, rows_done + raw.height
                yield rows.batch(raw, begin, rows_done, some.end)
        if rows_done != piece.rows:
            raise SourceError("source_changed", f"{name} has changed since the run started.", "Start a new run.")

    def _some(self, file: Container, start: int, end: int, skip: int) -> Iterator[_Blocks]:
        """Blocks without the first `skip` rows; small adjacent blocks are decoded together."""
        taken: _Blocks | None = None
        for block in file.blocks(start, end):
            if skip >= block.rows:
                skip -= block.rows
                continue
            data = unpacked(file.codec, file.data(block), block.start)
            if taken is not None and (
                taken.rows + block.rows > self._batch_rows or taken.size + len(data) > BATCH_BYTES
            ):
                yield taken
                taken = None
            if taken is None:
                taken = _Blocks(block.start, skip)
                skip = 0
            taken.add(data, block)
        if taken is not None:
            yield taken


@dataclass(slots=True)
class _Blocks:
    """Adjacent blocks; the first `skip` rows are done."""

    start: int
    skip: int
    end: int = 0
    rows: int = 0
    size: int = 0
    data: list[bytes] = field(default_factory=list)

    def add(self, data: bytes, block: Block) -> None:
        """Appends the next block."""
        self.data.append(data)
        self.rows, self.size, self.end = self.rows + block.rows, self.size + len(data), block.end
