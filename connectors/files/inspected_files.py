"""Inspects the files of a source, without those that are empty or, if that is asked for, cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.files.added_columns import AddedColumns
from headrace.connectors.files.chosen_files import ChosenFiles
from headrace.connectors.files.delimited.infer import widen
from headrace.connectors.files.formats.base import Inspection
from headrace.connectors.files.merged_files import MergedFiles, merge_files
from headrace.connectors.files.readable_files import ReadableFiles
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.source import Fitting
from headrace.ir.schema import Schema


class FileInspector:
    """`declared` are the declared columns of the source, with the added ones."""

    def __init__(
        self,
        config: Mapping[str, Any],
        chosen: ChosenFiles,
        readable: ReadableFiles,
        added: AddedColumns,
        declared: Schema,
    ) -> None:
        self._config = config
        self._chosen = chosen
        self._readable = readable
        self._added = added
        self._declared = declared
        self._skips_bad = skips_bad_files(config)
        self.left_out: tuple[str, ...] = ()
        """Files that the last inspection left out, and those that earlier attempts did."""

    def inspect(self, files: list[StoredFile], max_partitions: int) -> tuple[MergedFiles, list[str]]:
        """What is in the files, as one, and notes about those that were left out. Raises SourceError."""
        inspected, notes = self._inspected(files, max_partitions)
        together, more = self._together(inspected)
        return together, notes + more

    def _inspected(self, files: list[StoredFile], max_partitions: int) -> tuple[dict[str, Inspection], list[str]]:
        inspected: dict[str, Inspection] = {}
        notes = [f"{name} was left out by an earlier attempt" for name in self._chosen.skipped]
        bad = [*self._chosen.skipped]
        files = [file for file in files if file.name not in self._chosen.skipped]
        total = sum(file.size for file in files) or 1
        first: SourceError | None = None
        for file in files:
            share = max(1, round(max_partitions * file.size / total))
            declared = self._added.own(self._declared, file.name)
            try:
                with self._readable.opened(file.name, "still_written") as (form, path):
                    inspected[file.name] = form.inspect(path, file.name, declared, pieces=share)
            except SourceError as error:
                if self._skips_bad and len(files) > 1 and error.file == file.name:
                    notes.append(f"{file.name} was left out: {error}")
                    bad.append(file.name)
                elif error.code == "empty_file" and len(files) > 1 and not self._chosen.held:
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
        """See `Source.types_of`: over all the files that are read."""
        found: dict[str, Fitting] = {}
        names = self._chosen.listed_names()
        for name in [name for name in names if name not in {*self.left_out, *self._chosen.skipped}]:
            try:
                with self._readable.opened(name, "still_written") as (form, path):
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


def skips_bad_files(config: Mapping[str, Any]) -> bool:
    """`onBadFile`. Raises SourceError(`bad_option`)."""
    given = config.get("onBadFile") or "fail"
    if given not in ("fail", "skip"):
        raise SourceError("bad_option", f"config.onBadFile must be fail or skip, not {given!r}.")
    return bool(given == "skip")
