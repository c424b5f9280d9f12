"""A table or a query of Redshift as a source: unloaded once when it is large, and selected otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow as pa

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.parquet_batches import bounded_batches, opened
from headrace.connectors.redshift.dialect import RedshiftDialect
from headrace.connectors.redshift.frames import frame
from headrace.connectors.redshift.login import bucket_context, place_of
from headrace.connectors.redshift.settings import RedshiftSettings
from headrace.connectors.redshift.types import NOT_UNLOADED, quoted, unloaded
from headrace.connectors.redshift.unload import Unloaded, remove, sweep, unload
from headrace.connectors.source import Batch, Discovery, Partition, Position, Restart, Wanted
from headrace.connectors.sql.columns import Rows, chosen
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Asked, Select, tail
from headrace.connectors.sql.settings import settings_as
from headrace.connectors.sql.source import BATCH_ROWS, SqlSource
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.connectors.stores.object_store.objects import ObjectFiles
from headrace.connectors.stores.object_store.s3 import s3_bucket
from headrace.ir.schema import Field, Schema

UNLOAD_ROWS = 100_000
"""The default least number of rows for UNLOAD."""


class RedshiftSource(SqlSource):
    """A `Source`, `Incremental`, `Closing` and `Copying`.

    What was unloaded does not change, so that it could be read again exactly while it is there; it is removed when the
    run is over, so that rows that failed are kept as those of a live table are: `Restart.BOUNDARY`.
    """

    def __init__(self, context: Context, dialect: RedshiftDialect) -> None:
        """Raises SourceError for invalid settings."""
        settings = settings_as(RedshiftSettings, context.settings)
        super().__init__(context, dialect, settings=settings)
        self._context, self._redshift = context, dialect
        self._place = place_of(context.connection)
        self._unload = settings.unload
        self._folders: set[str] = set()
        self._kept: Sequence[Partition] | None = None
        self._files: tuple[Bucket, ObjectFiles] | None = None
        if settings.unload == "always" and self._place.unload_to is None:
            raise SourceError(
                "bad_option",
                "The connector does not say where to unload to.",
                "Give it 'unloadTo', 'unloadRole' and 'region', or leave out 'unload'.",
            )

    def keep(self, partitions: Sequence[Partition]) -> None:
        self._kept = partitions
        self._folders |= {str(each.location["unloaded"]) for each in partitions if "unloaded" in each.location}

    def finish(self) -> None:
        for folder in self._folders:
            remove(self._bucket, folder)
        self._folders.clear()

    def discover(self, *, max_partitions: int) -> Discovery:
        """Unloads the rows, if the settings or their number require it."""
        relation = self._relation()
        if self._kept is not None:
            return (
                self._found(relation, self._kept) if self._folders else super().discover(max_partitions=max_partitions)
            )
        notes = [] if self._place.unload_to is None else list(self._against(relation))
        if not self._unloads(relation, notes):
            found = super().discover(max_partitions=max_partitions)
            return replace(found, notes=(*notes, *found.notes))
        sweep(self._bucket)
        asked = [each.asked for each in self._columns(relation)]
        texts = [
            f"{unloaded(quoted(each.column.name), each.column.kind, as_declared=each.as_declared)} AS c{place}"
            for place, each in enumerate(asked)
        ]
        select = f"SELECT {', '.join(texts)}{tail(Select(relation, asked), self._redshift)}"
        folder, files = unload(
            self._redshift.access,
            self._place,
            self._bucket,
            select,
            relation.name,
            seconds=self._redshift.seconds,
            cased=bool(relation.own.get("cased")),
        )
        self._folders.add(folder)
        split = self._settings.partitions
        most = 1 if split.by == "none" else min(split.partitions or max_partitions, max_partitions)
        stored = [_stored(each) for each in asked]
        return self._found(relation, _partitions(folder, files, stored, max(1, most), relation.name))

    def _found(self, relation: Relation, partitions: Sequence[Partition]) -> Discovery:
        columns = self._columns(relation)
        return Discovery(
            tuple(each.field for each in columns),
            partitions,
            sum(each.rows for each in partitions),
            None,
            frozenset(each.field.name for each in columns if each.sure),
            restart=Restart.BOUNDARY,
        )

    def _against(self, relation: Relation) -> Iterator[str]:
        for each in self._columns(relation):
            if each.column.kind in NOT_UNLOADED:
                native = each.column.native
                yield f"{relation.name} is selected: '{each.column.name}' is {native}, which is not unloaded"

    def _unloads(self, relation: Relation, against: Sequence[str]) -> bool:
        if self._place.unload_to is None or self._unload == "never" or self._settings.cursor is not None:
            return False
        if self._unload == "always":
            if against:
                raise SourceError("bad_option", f"{against[0]}.", "Leave it out of 'columns', or leave out 'unload'.")
            return True
        return not against and (relation.rows or 0) >= UNLOAD_ROWS and self._settings.partitions.by in ("auto", "none")

    def _read(
        self,
        partition: Partition,
        schema: Schema,
        wanted: Wanted | None,
        rows_done: int,
        position: Position | None,
    ) -> Iterator[Batch]:
        if "unloaded" not in partition.location:
            yield from super()._read(partition, schema, wanted, rows_done, position)
            return
        place = partition.location
        stored = [_asked(each) for each in place["columns"]]
        relation = Relation(partition.label, "", tuple(each.column for each in stored))
        kept = [
            each
            for each in chosen(relation, [field.name for field in schema], schema)
            if wanted is None or each.field.name in wanted.columns
        ]
        rows = Rows(kept, (), partition.first_row, checked=False)
        needed = {each.column.name for each in kept}
        columns = [(f"c{at}", each) for at, each in enumerate(stored) if each.column.name in needed]
        size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        before = 0
        for name, count, length in place["files"]:
            if rows_done < before + count:
                file = Unloaded(name, count, length)
                for raw in self._records(str(place["unloaded"]), file, columns, rows_done - before, size):
                    batch = rows.batch(raw, rows_done)
                    rows_done = batch.rows_done
                    batch.position = {"row": rows_done}
                    yield batch
            before += count

    def _records(
        self, folder: str, file: Unloaded, columns: Sequence[tuple[str, Asked]], skip: int, size: int
    ) -> Iterator[pl.DataFrame]:
        """The rows of a file after the first `skip`."""
        names, asked = [name for name, _ in columns], [each for _, each in columns]
        with self._store.opened(f"{folder}/{file.name}", missing="unload_gone") as copy:
            if copy.file.size != file.size:
                raise _changed(file)
            try:
                with opened(copy.path) as parquet:
                    if parquet.metadata.num_rows != file.rows:
                        raise _changed(file)
                    for records in bounded_batches(parquet, range(parquet.num_row_groups), names, size):
                        if skip >= records.num_rows:
                            skip -= records.num_rows
                            continue
                        part = records.slice(skip)
                        skip = 0
                        raw = pl.from_arrow(part.select(names)) if names else pl.DataFrame({"0": [1] * part.num_rows})
                        assert isinstance(raw, pl.DataFrame)
                        yield frame(raw, asked)
            except pa.ArrowException as error:
                said = str(error).splitlines()[0]
                raise SourceError("bad_parquet", f"{file.name} cannot be read: {said}.", "Start a new run.") from None

    @property
    def _bucket(self) -> Bucket:
        return self._opened()[0]

    @property
    def _store(self) -> ObjectFiles:
        return self._opened()[1]

    def _opened(self) -> tuple[Bucket, ObjectFiles]:
        if self._files is None:
            bucket = s3_bucket(bucket_context(self._context, self._place))
            self._files = bucket, ObjectFiles(bucket, self._context.surroundings.scratch)
        return self._files


def _partitions(
    folder: str, files: Sequence[Unloaded], columns: list[dict[str, Any]], most: int, label: str
) -> list[Partition]:
    """Groups of consecutive files of about the same number of rows."""
    total, done = sum(each.rows for each in files), 0
    groups: list[list[Unloaded]] = []
    for file in files:
        if not groups or (len(groups) < most and done >= total * len(groups) / most):
            groups.append([])
        groups[-1].append(file)
        done += file.rows
    made, first = [], 1
    for index, group in enumerate(groups):
        rows = sum(each.rows for each in group)
        location = {
            "unloaded": folder,
            "columns": columns,
            "files": [[each.name, each.rows, each.size] for each in group],
        }
        name = label if len(groups) == 1 else f"{label} [{index + 1}/{len(groups)}]"
        made.append(Partition(index, first, rows, location, label=name))
        first += rows
    return made


def _stored(asked: Asked) -> dict[str, Any]:
    """A column as JSON for a partition's location: the definition at UNLOAD, even if the table changes."""
    column, field = asked.column, asked.column.field
    return {
        "name": field.name,
        "type": [field.data_type, field.precision, field.scale],
        "native": column.native,
        "kind": column.kind,
        "sure": column.sure,
        "asDeclared": asked.as_declared,
    }


def _asked(stored: Mapping[str, Any]) -> Asked:
    data_type, *sizes = stored["type"]
    field = Field(stored["name"], data_type, *sizes)
    column = Column(field, stored["native"], stored["kind"], bool(stored["sure"]))
    return Asked(column, bool(stored["asDeclared"]), bool(stored["sure"]))


def _changed(file: Unloaded) -> SourceError:
    return SourceError("source_changed", f"{file.name} is not as it was unloaded.", "Start a new run.")
