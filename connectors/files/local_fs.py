"""Files under `filesRoot` on this machine, as a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from connectors.base import Batch, Discovery, Partition, SourceError
from connectors.casting import format_problem
from connectors.files.delimited.dialect import near
from connectors.files.delimited.infer import widen
from connectors.files.formats import FORMATS, FileFormat
from connectors.files.formats.base import Piece
from connectors.files.selection import Selection, StoredFile
from ir.schema import Field, Schema

_CONFIG = ("path", "pattern", "ordering", "format", "options", "waitPolicy", "atomicity")


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
        self._root = files_root.resolve()
        self._base = str((connection or {}).get("basePath") or "")
        self._formats = formats
        self._selection = Selection.from_config(config)

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
        pieces: list[tuple[str, Piece]] = []
        for file in files:
            share = max(1, round(max_partitions * file.size / total))
            seen = self._format(file.name).inspect(self._root / file.name, file.name, self._declared, pieces=share)
            schema = seen.schema if not schema else _merged(schema, seen.schema, file.name, files[0].name)
            pieces += [(file.name, piece) for piece in seen.pieces]
        return Discovery(
            schema, _partitions(pieces, max_partitions), sum(p.rows for _, p in pieces), _fingerprint(files)
        )

    def listing(self) -> list[StoredFile]:
        """The file at `path`, or every file of the folder there, whatever the pattern. Raises SourceError."""
        path = self._jailed(str(PurePosixPath(self._base) / str(self._config.get("path") or "")))
        if path.is_file():
            return [self._stored(path)]
        return [self._stored(entry) for entry in path.iterdir() if entry.is_file() and self._within(entry)]

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
        self, partition: Partition, schema: Schema, *, rows_done: int = 0, position: int | None = None
    ) -> Iterator[Batch]:
        """See Source. A partition may hold pieces of several files; `position` belongs to the piece it falls in."""
        before = 0
        for location in partition.location["pieces"]:
            piece = Piece(int(location["rows"]), location)
            inside = max(0, rows_done - before)
            if inside >= piece.rows and inside > 0:
                before += piece.rows
                continue
            path = self._jailed(str(location["path"]), missing="source_changed")
            batches = self._format(str(location["path"])).read(
                path,
                str(location["path"]),
                piece,
                schema,
                first_row=partition.first_row + before,
                rows_done=inside,
                position=position if inside else None,
            )
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
        given = str(self._config.get("path") or "")
        if self._jailed(str(PurePosixPath(self._base) / given)).is_file():
            return self.listing()
        return self._selection.choose(self.listing(), folder=given or ".")

    def _stored(self, path: Path) -> StoredFile:
        stat = path.stat()
        return StoredFile(path.relative_to(self._root).as_posix(), stat.st_size, stat.st_mtime, str(stat.st_mtime_ns))

    def _within(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self._root)

    def _jailed(self, relative: str, *, missing: str = "file_not_found") -> Path:
        """The path under filesRoot; refuses what leads out of it, and says what is there when it does not exist."""
        path = self._root / relative
        if PurePosixPath(relative).is_absolute() or ".." in PurePosixPath(relative).parts or not self._within(path):
            raise SourceError(
                "path_outside_root",
                f"'{relative}' is not inside the files folder.",
                "Paths are relative to filesRoot; they may not leave it by '..', a leading '/' or a link.",
            )
        if path.exists():
            return path
        if not self._root.is_dir():
            raise SourceError(missing, "The files folder does not exist.", "Create it, or set HEADRACE_FILES_ROOT.")
        parent, name = path.parent, path.name
        while not parent.is_dir() and parent != self._root:
            parent, name = parent.parent, parent.name
        there = (
            sorted(entry.name + ("/" if entry.is_dir() else "") for entry in parent.iterdir())
            if parent.is_dir()
            else []
        )
        where = parent.relative_to(self._root).as_posix()
        folder = "The files folder" if where == "." else f"Folder '{where}'"
        listed = (
            f"{folder} holds: {', '.join(there[:10])}{', …' if len(there) > 10 else ''}."
            if there
            else f"{folder} is empty."
        )
        raise SourceError(
            missing, f"'{relative}' does not exist. {listed}", near(name, [entry.rstrip("/") for entry in there])
        )


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


def _fingerprint(files: list[StoredFile]) -> str:
    text = "\n".join(f"{file.name}\t{file.size}\t{file.version}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
