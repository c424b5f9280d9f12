"""Columns that are not in a file: from its folders (`day=2024-01-31/`), its name, and row numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.infer import infer_field
from headrace.connectors.source import ROW, Batch, Wanted, reserved
from headrace.ir.schema import Field, Schema

_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


class AddedColumns:
    """The added columns of a source's config; `folder` is the folder that file names are relative to."""

    def __init__(self, config: Mapping[str, Any], folder: str) -> None:
        self._hive = bool(config.get("hivePartitioning"))
        self._folder = PurePosixPath(folder)
        self._file, self._number = (_column_name(config, each) for each in ("fileNameColumn", "rowNumberColumn"))
        if self._file is not None and self._file == self._number:
            raise SourceError(
                "bad_option", "fileNameColumn and rowNumberColumn are the same.", "Give each its own name."
            )

    def names(self, file: str) -> tuple[str, ...]:
        """The columns added to rows of this file."""
        return (*self._of_folders(file), *(each for each in (self._file, self._number) if each is not None))

    def own(self, schema: Schema, file: str) -> Schema:
        """The fields of a schema that are in the file itself."""
        added = self.names(file)
        return tuple(field for field in schema if field.name not in added)

    def fields(self, files: Sequence[str], declared: Schema) -> Schema:
        """The added columns of all the files, with the declared types or types inferred from their values. Raises
        SourceError."""
        by_name = {field.name: field for field in declared}
        first = self.names(files[0])
        for file in files[1:]:
            if self.names(file) != first:
                here, there = ", ".join(self.names(file)) or "none", ", ".join(first) or "none"
                message = f"The folders of {file} name other columns than those of {files[0]}: {here}, not {there}."
                raise SourceError("columns_differ", message, "Files of one source lie in folders of the same names.")
        found: list[Field] = []
        for name in first:
            if name in by_name:
                found.append(by_name[name])
            elif name == self._number:
                found.append(Field(name, "bigint"))
            elif name == self._file:
                found.append(Field(name, "text"))
            else:
                values = [self._of_folders(file)[name] for file in files]
                found.append(infer_field(pl.Series(name, values, dtype=pl.String), complete=True))
        return tuple(found)

    def with_added(
        self, batch: Batch, schema: Schema, file: str, wanted: Wanted | None, *, first_row: int, before: int
    ) -> Batch:
        """The batch with its added columns. `first_row` is the number of the first row of its piece, `before` how many
        rows of the file come before that. Raises SourceError."""
        names = self.names(file)
        if not names:
            return batch
        folders = self._of_folders(file)
        chosen = [field for field in schema if wanted is None or field.name in wanted.columns]
        more: list[pl.Expr] = []
        for field in chosen:
            dtype = polars_dtype(field)
            if field.name == self._number:
                more.append((pl.col(ROW) - first_row + before + 1).cast(dtype).alias(field.name))
            elif field.name == self._file:
                more.append(pl.lit(self._relative(file).as_posix(), pl.String).cast(dtype).alias(field.name))
            elif field.name in folders:
                more.append(pl.lit(_folder_value(folders[field.name], field, file)).cast(dtype).alias(field.name))
        there = [field.name for field in chosen if field.name in (*batch.frame.columns, *names)]
        batch.frame = batch.frame.with_columns(more).select(*there, ROW)
        return batch

    def _relative(self, file: str) -> PurePosixPath:
        path = PurePosixPath(file)
        return path.relative_to(self._folder) if path.is_relative_to(self._folder) else path

    def _of_folders(self, file: str) -> dict[str, str | None]:
        if not self._hive:
            return {}
        parts = [part.partition("=") for part in self._relative(file).parent.parts if "=" in part]
        found = {unquote(name): None if value == _NO_VALUE else unquote(value) for name, _, value in parts}
        if odd := next((name for name in found if not name or reserved(name)), None):
            raise SourceError("bad_name", f"A folder of {file} names a column {odd!r}, which none may be called.")
        return found


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


def _folder_value(text: str | None, field: Field, file: str) -> Any:
    values, bad = cast_text(pl.Series([text], dtype=pl.String), field)
    if bad is not None:
        message = f"The folder of {file} says {field.name}={text}, which is not of the type {field.data_type}."
        raise SourceError("bad_partition", message, "Declare the column as text, or rename the folder.")
    return values[0]


def _column_name(config: Mapping[str, Any], setting: str) -> str | None:
    name = config.get(setting) or None
    if name is not None and (not isinstance(name, str) or reserved(name)):
        raise SourceError("bad_option", f"{setting}: no column may be called {name!r}.")
    return name
