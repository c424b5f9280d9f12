"""Files of a store as a source: one, or several of one folder, of any store and format."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import format_problem
from headrace.connectors.errors import SourceError
from headrace.connectors.files.added_columns import AddedColumns
from headrace.connectors.files.arrival.file_claims import FileClaims
from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.arrival.settings import ArrivalRules
from headrace.connectors.files.compression import compression_of, inner_suffix
from headrace.connectors.files.compression.spooled import spooled
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.delimited.infer import widen
from headrace.connectors.files.formats import FORMATS, SUFFIXES, FileFormat
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.connectors.files.merged_files import MergedFiles, merge_files
from headrace.connectors.files.selection import Selection, StoredFile
from headrace.connectors.files.store import FileStore, OpenedFile, recursive
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
_NOT_ITS_FAULT = (
    "file_not_found",
    "source_changed",
    "path_outside_root",
    "bad_path",
    "not_readable",
    "still_written",
    "not_installed",
    "bad_option",
    "unknown_encoding",
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
        self._store = store
        self._given = str(config.get("path") or "")
        self._path = str(PurePosixPath(base) / self._given)
        self._formats = formats
        self._scratch = scratch
        self._selection = Selection.from_config(config)
        self._added = AddedColumns(config, self._path)
        self._skips_bad = skips_bad_files(config)
        self.left_out: tuple[str, ...] = ()
        if reads_subfolders(config, self._selection):
            self._store = store = recursive(store)
        self._held: Mapping[str, str] = {}
        self._skipped: Mapping[str, StoredFile] = {}
        self._listed: Mapping[str, StoredFile] = {}
        self.arrivals = FileClaims(
            self._store,
            self._path,
            in_folder=bool(config.get("pattern")) or self._given.endswith("/"),
            selection=self._selection,
            rules=ArrivalRules.from_config(config),
        )

    def discover(self, *, max_partitions: int) -> Discovery:
        for field in self._declared:
            if problem := format_problem(field):
                raise SourceError(
                    "bad_format", f"Field '{field.name}': {problem}", "Use strptime codes such as %d.%m.%Y."
                )
        files = self._files()
        inspected, notes = self._inspected(files, max_partitions)
        together, more = self._together(inspected)
        notes += more
        names = list(together.files)
        added = self._added.fields(names, self._declared)
        check_added_columns(added, together.schema, names[0])
        pieces = [(name, piece) for name, seen in together.files.items() for piece in seen.pieces]
        schema = in_declared_order((*together.schema, *added), self._declared)
        return Discovery(
            schema,
            _partitions(pieces, max_partitions),
            sum(p.rows for _, p in pieces),
            _fingerprint(files),
            together.sure | {field.name for field in added},
            together.guessed,
            (*notes, *together.notes),
            lacking=self._lacking(together),
        )

    def _lacking(self, together: MergedFiles) -> dict[str, tuple[str, ...]]:
        """What files lack, unless the options say that it is null then."""
        if (self._config.get("options") or {}).get("missingColumns") == "null":
            return {}
        return {name: seen.lacking for name, seen in together.files.items() if seen.lacking}

    def _inspected(self, files: list[StoredFile], max_partitions: int) -> tuple[dict[str, Inspection], list[str]]:
        """What is in each file, without those that are empty or, if that is asked for, cannot be read."""
        inspected: dict[str, Inspection] = {}
        notes = [f"{name} was left out by an earlier attempt" for name in self._skipped]
        bad = [*self._skipped]
        files = [file for file in files if file.name not in self._skipped]
        total = sum(file.size for file in files) or 1
        first: SourceError | None = None
        for file in files:
            share = max(1, round(max_partitions * file.size / total))
            form = self._format(file.name)
            declared = self._added.own(self._declared, file.name)
            try:
                with self._unpacked(form, file.name, "still_written") as path:
                    inspected[file.name] = form.inspect(path, file.name, declared, pieces=share)
            except SourceError as error:
                if self._skips_bad and len(files) > 1 and error.file == file.name:
                    notes.append(f"{file.name} was left out: {error}")
                    bad.append(file.name)
                elif error.code == "empty_file" and len(files) > 1 and not self._held:
                    notes.append(f"{file.name} is empty and was passed over")
                else:
                    raise  # a file that the run claimed is moved to the failure folder
                first = first or error
        if first is not None and not inspected:
            raise first
        self.left_out = tuple(bad)
        return inspected, notes

    def _together(self, inspected: dict[str, Inspection]) -> tuple[MergedFiles, list[str]]:
        """All files as one, without files with other columns, if configured."""
        options = self._config.get("options") or {}
        notes: list[str] = []
        while True:
            declared = self._added.own(self._declared, next(iter(inspected)))
            try:
                found = merge_files(
                    inspected,
                    declared,
                    missing=options.get("missingColumns"),
                    matching=options.get("headerMatching") or "caseInsensitive",
                )
            except SourceError as error:
                if not self._skips_bad or error.file not in inspected or len(inspected) == 1:
                    raise
                notes.append(f"{error.file} was left out: {error}")
                self.left_out += (error.file,)
                inspected = {name: seen for name, seen in inspected.items() if name != error.file}
            else:
                return found, notes

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        found: dict[str, Fitting] = {}
        names = [*self._listed] or [file.name for file in self._files()]
        for name in [name for name in names if name not in {*self.left_out, *self._skipped}]:
            try:
                form = self._format(name)
                with self._unpacked(form, name, "still_written") as path:
                    seen = form.types_of(path, name, columns)
            except SourceError as error:
                if error.code != "empty_file":
                    raise
                continue
            for column, one in seen.items():
                other = found.get(column, one)
                together = widen(one.data_type, other.data_type)
                found[column] = Fitting(together, min(one.share, other.share), one.padded or other.padded)
        return found

    def listing(self) -> list[StoredFile]:
        """The file at `path`, or every file of that folder, ignoring the pattern. Raises SourceError."""
        file = self._store.stat(self._path)
        return self._store.listing(self._path) if file is None else [file]

    def folders(self) -> list[str]:
        """The folders at `path`, by name. Raises SourceError."""
        return self._store.folders(self._path)

    def hold(self, held: ClaimedFiles) -> None:
        self._held, self._skipped = held.places, held.skipped

    def fingerprint(self) -> str:
        """The current fingerprint, as in `discover`, without reading the files."""
        return _fingerprint(self._files())

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
            form = self._format(name)
            with self._unpacked(form, name, "source_changed") as path:
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

    def _format(self, name: str) -> FileFormat:
        kind = str(self._config.get("format") or inner_suffix(name) or "csv").lower()
        kind = SUFFIXES.get(kind, kind)
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

    @contextmanager
    def _unpacked(self, form: FileFormat, name: str, changed: str) -> Iterator[Path]:
        """Where a file is to be read as the format wants it."""
        with self._opened(name, changed) as opened:
            packed = compression_of(self._config.get("options") or {}, name) if form.unpacked else None
            with spooled(opened.path, packed, folder=self._scratch) as path:
                yield path

    @contextmanager
    def _opened(self, name: str, changed: str) -> Iterator[OpenedFile]:
        """Opens a file that must not change from its listing to the end of reading (by its original place); otherwise
        raises `changed`, instead of the reader's error."""
        missing = "file_not_found" if changed == "still_written" else changed
        with _blamed(name), self._store.opened(self._held.get(name, name), missing=missing) as opened:
            listed = self._listed.get(name, opened.file)
            if not _as_listed(opened.file, listed):
                raise _changed(name, changed)
            try:
                yield opened
            except Exception as error:
                if not _as_listed(opened.now(), listed):
                    raise _changed(name, changed) from error
                raise
            if not _as_listed(opened.now(), listed):
                raise _changed(name, changed)

    def _files(self) -> list[StoredFile]:
        files = self._found()
        self._listed = {file.name: file for file in files}
        return files

    def _found(self) -> list[StoredFile]:
        if self._held:
            return [self._skipped.get(name) or self._stored(name, place) for name, place in self._held.items()]
        if self._store.is_file(self._path):
            return self.listing()
        return self._selection.choose(self.listing(), folder=self._given or ".", within=self._path)

    def _stored(self, name: str, place: str) -> StoredFile:
        """The file under its name on arrival, so that the fingerprint does not depend on its current place."""
        file = self._store.stat(place)
        if file is None:
            raise self._store.missing(place)
        return replace(file, name=name)


def reads_subfolders(config: Mapping[str, Any], selection: Selection) -> bool:
    """Whether files of folders below the source's are meant. Raises SourceError(`bad_option`) where they cannot be."""
    below = selection.of_paths or bool(config.get("hivePartitioning"))
    if below and config.get("atomicity") is not None:
        hint = "Take files from one folder, or leave atomicity out."
        raise SourceError("bad_option", "config.atomicity takes no files out of folders below the source's.", hint)
    return below


def skips_bad_files(config: Mapping[str, Any]) -> bool:
    """`onBadFile`. Raises SourceError(`bad_option`)."""
    given = config.get("onBadFile") or "fail"
    if given not in ("fail", "skip"):
        raise SourceError("bad_option", f"config.onBadFile must be fail or skip, not {given!r}.")
    return bool(given == "skip")


def check_added_columns(added: Schema, own: Schema, name: str) -> None:
    """No file has a column that it is given. Raises SourceError(`bad_header`)."""
    there = {field.name for field in own}
    for field in added:
        if field.name in there:
            message = f"{name} has a column '{field.name}' itself, which its folder or the config gives it, too."
            raise SourceError("bad_header", message, "Give the added column another name, or declare `fields` without.")


def in_declared_order(schema: Schema, declared: Schema) -> Schema:
    """The declared columns in their order, then the others."""
    places = {field.name: place for place, field in enumerate(declared)}
    return tuple(sorted(schema, key=lambda field: places.get(field.name, len(places))))


@contextmanager
def _blamed(name: str) -> Iterator[None]:
    """Adds the file to errors, for the message and for moving the file to the failure folder."""
    try:
        yield
    except SourceError as error:
        located = error if name in error.message else SourceError(error.code, f"{name}: {error.message}", error.hint)
        located.file = name if error.code not in _NOT_ITS_FAULT else error.file
        raise located from None
    except OSError as error:
        if error.errno is None:  # a library's error about the file's content
            raise
        raise SourceError("not_readable", f"'{name}' cannot be read: {error.strerror}.") from error


def _as_listed(now: StoredFile, listed: StoredFile) -> bool:
    return (now.size, now.version) == (listed.size, listed.version)


def _changed(name: str, code: str) -> SourceError:
    if code == "still_written":
        hint = "Run again when it is complete, or let the run wait: config.settleSeconds, config.waitPolicy."
        return SourceError(code, f"'{name}' is still being written: it changed while it was inspected.", hint)
    return SourceError(code, f"'{name}' changed while the run read it.", "Start a new run when it is complete.")


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
    read: dict[str, int] = {}
    for index, group in enumerate(groups):
        rows = sum(piece.rows for _, piece in group)
        located = []
        for name, piece in group:
            located.append({"path": name, "rows": piece.rows, "before": read.get(name, 0), **piece.location})
            read[name] = read.get(name, 0) + piece.rows
        partitions.append(Partition(index, first, rows, {"pieces": located}))
        first += rows
    return partitions


def _fingerprint(files: list[StoredFile]) -> str:
    text = "\n".join(f"{file.name}\t{file.size}\t{file.version}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
