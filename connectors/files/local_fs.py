"""Files under `filesRoot` on this machine, as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from connectors.base import Batch, Discovery, Partition, SourceError, Wanted
from connectors.casting import ALWAYS_READABLE, format_problem
from connectors.files.arrival_config import ArrivalRules
from connectors.files.arrivals import Held
from connectors.files.claims import Claims
from connectors.files.delimited.dialect import near
from connectors.files.delimited.infer import widen
from connectors.files.formats import FORMATS, FileFormat
from connectors.files.formats.base import Inspection, Piece
from connectors.files.selection import Selection, StoredFile
from connectors.files.store import LocalStore
from ir.schema import Field, Schema

_CONFIG = ("path", "pattern", "ordering", "format", "options", "waitPolicy", "atomicity", "settleSeconds")
_NOT_ITS_FAULT = ("file_not_found", "source_changed", "path_outside_root")


class LocalFiles:
    """A `Source` over one file or several of one folder; several give their rows in file order, numbered through."""

    note: str | None = None

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        fields: Schema = (),
        files_root: Path,
        connection: Mapping[str, Any] | None = None,
        formats: Mapping[str, FileFormat] | None = None,
    ) -> None:
        """`connection` is the connector record's config; its `basePath` is a folder under filesRoot.

        `formats` replaces the registry's formats by ready-made ones.
        """
        for name in config:
            if name not in _CONFIG:
                raise SourceError("bad_option", f"Unknown setting '{name}' of local_fs.", near(name, _CONFIG))
        self._config = config
        self._declared = fields
        self._store = LocalStore(files_root)
        self._given = str(config.get("path") or "")
        self._path = str(PurePosixPath(str((connection or {}).get("basePath") or "")) / self._given)
        self._formats = formats
        self._selection = Selection.from_config(config)
        self._held: Mapping[str, str] = {}
        self.arrivals = Claims(
            self._store,
            self._path,
            in_folder=bool(config.get("pattern")) or self._given.endswith("/"),
            selection=self._selection,
            rules=ArrivalRules.from_config(config),
        )

    def discover(self, *, max_partitions: int) -> Discovery:
        """See Source."""
        for field in self._declared:
            if problem := format_problem(field):
                raise SourceError(
                    "bad_format", f"Field '{field.name}': {problem}", "Use strptime codes such as %d.%m.%Y."
                )
        files = self._files()
        total = sum(file.size for file in files) or 1
        schema: Schema = ()
        inspected: list[Inspection] = []
        pieces: list[tuple[str, Piece]] = []
        for file in files:
            share = max(1, round(max_partitions * file.size / total))
            form, path = self._format(file.name), self._store.path(self._held.get(file.name, file.name))
            with _blamed(file.name):
                seen = form.inspect(path, file.name, self._declared, pieces=share)
                schema = seen.schema if not schema else _merged(schema, seen.schema, file.name, files[0].name)
            inspected.append(seen)
            pieces += [(file.name, piece) for piece in seen.pieces]
        return Discovery(
            schema,
            _partitions(pieces, max_partitions),
            sum(p.rows for _, p in pieces),
            _fingerprint(files),
            frozenset(field.name for field in schema if _sure(field, inspected)),
        )

    def listing(self) -> list[StoredFile]:
        """The file at `path`, or every file of the folder there, whatever the pattern. Raises SourceError."""
        file = self._store.stat(self._path)
        return self._store.listing(self._path) if file is None else [file]

    def hold(self, held: Held) -> None:
        """See AwaitsFiles."""
        self._held = held.places

    def fingerprint(self) -> str:
        """What `discover` would give as the fingerprint now, without reading the files."""
        return _fingerprint(self._files())

    def sample(self, rows: int) -> pl.DataFrame:
        """See Source; only looks at the first file."""
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
        """See Source. A partition may hold pieces of several files; `position` belongs to the piece it falls in."""
        before = 0
        for location in partition.location["pieces"]:
            piece = Piece(int(location["rows"]), location)
            inside = max(0, rows_done - before)
            if inside >= piece.rows and inside > 0:
                before += piece.rows
                continue
            name = str(location["path"])
            path = self._store.present(self._held.get(name, name), missing="source_changed")
            batches = self._format(name).read(
                path,
                name,
                piece,
                schema,
                first_row=partition.first_row + before,
                rows_done=inside,
                position=position if inside else None,
                wanted=wanted,
            )
            with _blamed(name):
                for batch in batches:
                    batch.rows_done += before
                    yield batch
            before += piece.rows

    def _format(self, name: str) -> FileFormat:
        suffix = PurePosixPath(name).suffix.lstrip(".").lower()
        kind = str(self._config.get("format") or suffix or "csv").lower()
        formats: Mapping[str, object] = FORMATS if self._formats is None else self._formats
        if kind not in formats:
            raise SourceError(
                "unknown_format",
                f"Unknown format '{kind}' for {name}.",
                near(kind, tuple(formats)) or f"Set config.format to one of {', '.join(formats)}.",
            )
        if self._formats is not None:
            return self._formats[kind]
        return FORMATS[kind](self._config.get("options") or {})

    def _files(self) -> list[StoredFile]:
        if self._held:
            return [self._stored(name, place) for name, place in self._held.items()]
        if self._store.is_file(self._path):
            return self.listing()
        return self._selection.choose(self.listing(), folder=self._given or ".")

    def _stored(self, name: str, place: str) -> StoredFile:
        """The file under the name it arrived with, so that a fingerprint does not depend on where it lies."""
        file = self._store.stat(place)
        if file is None:
            raise self._store.missing(place)
        return replace(file, name=name)


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """What cannot be read is this file's fault, and the error says so, for whoever puts it aside."""
    try:
        yield
    except SourceError as error:
        if error.code not in _NOT_ITS_FAULT:
            error.file = name
        raise


def _partitions(pieces: list[tuple[str, Piece]], most: int) -> list[Partition]:
    """Groups neighbouring pieces so that there are at most `most` partitions of about equal rows."""
    total = sum(piece.rows for _, piece in pieces)
    groups: list[list[tuple[str, Piece]]] = []
    done = 0
    for number, (name, piece) in enumerate(pieces):
        left = len(pieces) - number
        if not groups or len(groups) + left <= most or (len(groups) < most and done >= total * len(groups) / most):
            groups.append([])
        groups[-1].append((name, piece))
        done += piece.rows
    partitions, first = [], 1
    for index, group in enumerate(groups):
        rows = sum(piece.rows for _, piece in group)
        located = [{"path": name, "rows": piece.rows, **piece.location} for name, piece in group]
        partitions.append(Partition(index, first, rows, {"pieces": located}))
        first += rows
    return partitions


def _merged(schema: Schema, other: Schema, name: str, first: str) -> Schema:
    """One schema for several files: the same columns, each wide enough for all."""
    by_name = {field.name: field for field in other}
    missing = [field.name for field in schema if field.name not in by_name]
    extra = [field.name for field in other if field.name not in {known.name for known in schema}]
    if missing or extra:
        told = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has {', '.join(extra)} besides"] * bool(extra)
        raise SourceError(
            "columns_differ",
            f"{name} has other columns than {first}: it {' and '.join(told)}.",
            "Declare `fields` on the source node to read only the columns all files have.",
        )
    return tuple(
        field
        if field == by_name[field.name]
        else Field(field.name, widen(field.data_type, by_name[field.name].data_type))
        for field in schema
    )


def _sure(field: Field, inspected: list[Inspection]) -> bool:
    """Whether every file's values can be read as the field; a file of another type may have some that cannot."""
    return field.data_type in ALWAYS_READABLE or all(
        field.name in seen.sure and field in seen.schema for seen in inspected
    )


def _fingerprint(files: list[StoredFile]) -> str:
    text = "\n".join(f"{file.name}\t{file.size}\t{file.version}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
