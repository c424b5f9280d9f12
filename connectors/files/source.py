"""Files of a store as a source: one, or several of one folder, of any store and format."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import format_problem
from headrace.connectors.errors import SourceError
from headrace.connectors.files.added_columns import AddedColumns, check_added_columns, in_declared_order
from headrace.connectors.files.arrival.file_claims import FileClaims
from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.arrival.settings import ArrivalRules
from headrace.connectors.files.chosen_files import ChosenFiles, fingerprint_of
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.formats import FileFormat
from headrace.connectors.files.formats.base import Piece
from headrace.connectors.files.inspected_files import FileInspector
from headrace.connectors.files.merged_files import MergedFiles
from headrace.connectors.files.partitions import partitions_of
from headrace.connectors.files.readable_files import ReadableFiles
from headrace.connectors.files.selection import Selection, StoredFile, reads_subfolders
from headrace.connectors.files.store import FileStore, recursive
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Wanted
from headrace.ir.schema import Schema

_CONFIG = (
    "path",
    "pattern",
    "ordering",
    "format",
    "options",
    "hivePartitioning",
    "fileNameColumn",
    "rowNumberColumn",
    "onBadFile",
    "waitPolicy",
    "atomicity",
    "settleSeconds",
)


class FileSource:
    """A `Source` over one file or several of one folder; several give their rows in file order, numbered through."""

    note: str | None = None

    def __init__(
        self,
        connector: str,
        config: Mapping[str, Any],
        store: FileStore,
        *,
        base: str = "",
        fields: Schema = (),
        formats: Mapping[str, FileFormat] | None = None,
        scratch: Path | None = None,
    ) -> None:
        """`base` is the folder of the store that paths are relative to. `formats` replaces the registry's formats by
        ready-made ones. `scratch` is the folder for unpacked copies."""
        for name in config:
            if name not in _CONFIG:
                raise SourceError("bad_option", f"Unknown setting '{name}' of {connector}.", near(name, _CONFIG))
        self._config = config
        self._declared = fields
        given = str(config.get("path") or "")
        path = str(PurePosixPath(base) / given)
        selection = Selection.from_config(config)
        self._added = AddedColumns(config, path)
        if reads_subfolders(config, selection):
            store = recursive(store)
        self._chosen = ChosenFiles(store, path, given, selection)
        self._readable = ReadableFiles(config, self._chosen, formats=formats, scratch=scratch)
        self._inspector = FileInspector(config, self._chosen, self._readable, self._added, fields)
        self.arrivals = FileClaims(
            store,
            path,
            in_folder=bool(config.get("pattern")) or given.endswith("/"),
            selection=selection,
            rules=ArrivalRules.from_config(config),
        )

    def discover(self, *, max_partitions: int) -> Discovery:
        for field in self._declared:
            if problem := format_problem(field):
                raise SourceError(
                    "bad_format", f"Field '{field.name}': {problem}", "Use strptime codes such as %d.%m.%Y."
                )
        files = self._chosen.now()
        together, notes = self._inspector.inspect(files, max_partitions)
        names = list(together.files)
        added = self._added.fields(names, self._declared)
        check_added_columns(added, together.schema, names[0])
        pieces = [(name, piece) for name, seen in together.files.items() for piece in seen.pieces]
        schema = in_declared_order((*together.schema, *added), self._declared)
        return Discovery(
            schema,
            partitions_of(pieces, max_partitions),
            sum(p.rows for _, p in pieces),
            fingerprint_of(files),
            together.sure | {field.name for field in added},
            together.guessed,
            (*notes, *together.notes),
            lacking=self._lacking(together),
        )

    @property
    def left_out(self) -> tuple[str, ...]:
        """Files that are not read, because they cannot be."""
        return self._inspector.left_out

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        return self._inspector.types_of(columns)

    def listing(self) -> list[StoredFile]:
        """The file at `path`, or every file of that folder, ignoring the pattern. Raises SourceError."""
        return self._chosen.listing()

    def folders(self) -> list[str]:
        """The folders at `path`, by name. Raises SourceError."""
        return self._chosen.folders()

    def hold(self, held: ClaimedFiles) -> None:
        self._chosen.hold(held)

    def fingerprint(self) -> str:
        """The current fingerprint, as in `discover`, without reading the files."""
        return fingerprint_of(self._chosen.now())

    def sample(self, rows: int) -> pl.DataFrame:
        """Inspects the first file only."""
        found = self.discover(max_partitions=1)
        taken: list[pl.DataFrame] = []
        for partition in found.partitions:
            for batch in self.read(partition, found.schema):
                taken.append(batch.frame.head(rows - sum(frame.height for frame in taken)))
                if sum(frame.height for frame in taken) >= rows:
                    return pl.concat(taken)
        return pl.concat(taken) if taken else pl.DataFrame()

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: int | None = None,
    ) -> Iterator[Batch]:
        """A partition may hold pieces of several files; `position` belongs to the piece it falls in."""
        before = 0
        for location in partition.location["pieces"]:
            piece = Piece(int(location["rows"]), location)
            inside = max(0, rows_done - before)
            if inside >= piece.rows and inside > 0:
                before += piece.rows
                continue
            name = str(location["path"])
            with self._readable.opened(name, "source_changed") as (form, path):
                batches = form.read(
                    path,
                    name,
                    piece,
                    self._added.own(schema, name),
                    first_row=partition.first_row + before,
                    rows_done=inside,
                    position=position if inside else None,
                    wanted=wanted,
                )
                for batch in batches:
                    batch.rows_done += before
                    yield self._added.with_added(
                        batch,
                        schema,
                        name,
                        wanted,
                        first_row=partition.first_row + before,
                        before=int(location.get("before", 0)),
                    )
            before += piece.rows

    def _lacking(self, together: MergedFiles) -> dict[str, tuple[str, ...]]:
        """What files lack, unless the options say that it is null then."""
        if (self._config.get("options") or {}).get("missingColumns") == "null":
            return {}
        return {name: seen.lacking for name, seen in together.files.items() if seen.lacking}
