"""ORC files: pieces are runs of stripes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from headrace.connectors.batch_size import rows_within
from headrace.connectors.datatypes import field_of_polars
from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.formats.options import check_options
from headrace.connectors.files.formats.orc_stamps import OUT_OF_RANGE, first_out_of_range
from headrace.connectors.files.formats.typed_rows import BatchBuilder, as_frame, split_into_runs, typed_inspection
from headrace.connectors.source import Batch, Fitting, Wanted
from headrace.ir.schema import Field, Schema

BATCH_ROWS = 65_536


class Orc:
    """ORC files. They have no options."""

    unpacked = True

    def __init__(self, options: Mapping[str, Any], *, batch_rows: int = BATCH_ROWS) -> None:
        check_options(options, (), "orc")
        self._batch_rows = batch_rows

    def inspect(self, path: Path, name: str, declared: Schema, *, pieces: int) -> Inspection:
        """Reads the footers, and the row count of each stripe."""
        with _OrcErrors(path):
            file = _open(path)
            frame = as_frame(file.schema.empty_table(), name)
            # The row count of a stripe is only known after reading a column of it.
            rows = [file.read_stripe(stripe, columns=_smallest(file)).num_rows for stripe in range(file.nstripes)]
            total = file.nrows
        if sum(rows) != total:
            raise SourceError("bad_orc", f"It is damaged: {total:,} rows in its footer, {sum(rows):,} in its stripes.")
        own = tuple(
            Field(column, "json") if pa.types.is_map(file.schema.field(column).type) else field_of_polars(column, dtype)
            for column, dtype in frame.schema.items()
        )
        parts = [
            Piece(count, {"firstStripe": first, "stripes": rows[first:stop]})
            for first, stop, count in split_into_runs(rows, pieces)
        ]
        return typed_inspection(own, declared, parts)

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
        """`position` is not used: the row counts of stripes are known."""
        rows = BatchBuilder(schema, piece.location, wanted)
        skip = rows_done
        file = _open(path)
        there = [each for each in rows.names if each in file.schema.names] or _smallest(file)
        for stripe, count in enumerate(piece.location["stripes"], int(piece.location["firstStripe"])):
            if skip >= count:
                skip -= count
                continue
            with _OrcErrors(path):
                table = pa.Table.from_batches([file.read_stripe(stripe, columns=there)])
            size = rows_within(count, table.nbytes, self._batch_rows)
            for offset in range(skip, count, size):
                raw = as_frame(table.slice(offset, size), name)
                begin, rows_done = first_row + rows_done, rows_done + raw.height
                yield rows.batch(raw, begin, rows_done)
            skip = 0
        if rows_done != piece.rows:
            raise SourceError("source_changed", f"{name} has changed since the run started.", "Start a new run.")


def _open(path: Path) -> Any:
    from pyarrow import orc

    if not path.stat().st_size:
        raise SourceError("empty_file", "It is empty.", "An ORC file has at least a footer.")
    with _OrcErrors(path):
        return orc.ORCFile(path)


def _smallest(file: Any) -> list[str]:
    """The column that is fastest to read, by its type."""
    schema = file.schema
    flat = [each for each in schema if not pa.types.is_nested(each.type)] or list(schema)
    widths = {each.name: each.type.bit_width if pa.types.is_primitive(each.type) else 1 << 10 for each in flat}
    stamps = {each.name for each in flat if pa.types.is_timestamp(each.type)}
    return [min(widths, key=lambda name: (name in stamps, widths[name]))]


class _OrcErrors:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, pa.ArrowException | OSError | ValueError) and not isinstance(error, MemoryError):
            told = (str(error).splitlines() or ["no reason"])[0]
            if OUT_OF_RANGE in told:
                raise self._out_of_range(told) from None
            hint = "Write it again, or compare it with the original."
            raise SourceError("bad_orc", f"It is not an ORC file that can be read: {told}.", hint) from None

    def _out_of_range(self, told: str) -> SourceError:
        hint = "Write the timestamps as text, or as dates: ORC's are read as nanoseconds, from 1677 to 2262."
        try:
            place = first_out_of_range(self._path)
        except (pa.ArrowException, OSError, ValueError):  # damaged besides
            place = None
        where = "" if place is None else f"{place}: "
        return SourceError("bad_orc", f"It has a timestamp that cannot be read: {where}{told}.", hint)
