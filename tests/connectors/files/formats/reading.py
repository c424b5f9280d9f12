"""A file read as a run reads it, with and without stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats import FileFormat
from headrace.connectors.files.local.local_fs import local_files
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import ROW, Discovery
from headrace.ir.schema import Field


def texts(*names: str) -> tuple[Field, ...]:
    """Columns of text."""
    return tuple(Field(name, "text") for name in names)


def source(path: Path, *fields: Field, formats: dict[str, FileFormat] | None = None, **config: Any) -> FileSource:
    """The file as a source."""
    return local_files({"path": path.name, **config}, fields=fields, files_root=path.parent, formats=formats)


def everything(files: FileSource, found: Discovery) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All rows and all rejects, which are as many as were promised."""
    batches = [batch for part in found.partitions for batch in files.read(part, found.schema)]
    assert sum(batch.rows for batch in batches) == found.total_rows
    for batch in batches:
        assert batch.frame.height + batch.rejects["row"].n_unique() == batch.rows
    empty = pl.DataFrame(schema={**{f.name: pl.String for f in found.schema}, ROW: pl.Int64})
    frames = [batch.frame for batch in batches]
    rejects = [batch.rejects for batch in batches]
    return pl.concat(frames) if frames else empty, pl.concat(rejects) if rejects else pl.DataFrame()


def rows(files: FileSource, partitions: int = 4) -> list[tuple[Any, ...]]:
    """All rows without their numbers, none of them rejected."""
    frame, rejects = everything(files, files.discover(max_partitions=partitions))
    assert not rejects.height, rejects.rows()
    assert frame[ROW].to_list() == list(range(1, frame.height + 1))
    return frame.drop(ROW).rows()


def check_resuming(files: FileSource, partitions: int) -> None:
    """Resuming after every batch, with and without its position, and in the middle of one, returns the remaining
    rows."""
    found = files.discover(max_partitions=partitions)
    for part in found.partitions:
        batches = list(files.read(part, found.schema))
        whole = [(row, None) for batch in batches for row in batch.frame[ROW]]
        whole = sorted(whole + [(row, "bad") for batch in batches for row in set(batch.rejects["row"])])
        stops = [(batch.rows_done, batch.position) for batch in batches]
        stops += [(batch.rows_done, None) for batch in batches] + [(batch.rows_done - 1, None) for batch in batches]
        for done, position in stops:
            rest = list(files.read(part, found.schema, rows_done=done, position=position))
            again = [(row, None) for batch in rest for row in batch.frame[ROW]]
            again += [(row, "bad") for batch in rest for row in set(batch.rejects["row"])]
            assert sorted(again) == whole[done:]
            assert not rest or rest[-1].rows_done == part.rows


def refused(files: FileSource) -> SourceError:
    """The error of a file that cannot be read, which names it."""
    with pytest.raises(SourceError) as caught:
        everything(files, files.discover(max_partitions=2))
    return caught.value


def never_panics(path: Path, *fields: Field, **config: Any) -> None:
    """Whatever is in the file, there are rows, rejects, or an error for people that names the file."""
    reported = ""
    try:
        files = source(path, *fields, **config)
        everything(files, files.discover(max_partitions=2))
    except SourceError as error:
        reported = str(error)
    assert not reported or path.name in reported
