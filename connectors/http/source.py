"""An endpoint of an HTTP API as a source: slices (parents, windows of time), and in each the pages in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.connector import Context
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.infer import TypeStatistics, infer_field
from headrace.connectors.files.formats.json_rows import column_names, keys_of, missing_column_notes
from headrace.connectors.files.jsontext.cells import cells
from headrace.connectors.files.jsontext.rows import NULL, Objects
from headrace.connectors.files.jsontext.survey import MOST_COLUMNS, Survey, fields_of
from headrace.connectors.http.answers import block_of
from headrace.connectors.http.client import Api, config_of
from headrace.connectors.http.jobs import created
from headrace.connectors.http.pages import Page
from headrace.connectors.http.reading import Reading, results_of, sent_values
from headrace.connectors.http.settings import column_of, settings_of
from headrace.connectors.http.slices import beginning_with, label_of, shared_out, slices_of
from headrace.connectors.source import (
    ROW,
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    Wanted,
    numbered_from,
)
from headrace.ir.schema import Field, Schema

CURSOR = "default"
_LOOKED_AT = 1_000
"""The number of sampled records, at most those of `_LOOKED_PAGES` pages."""
_LOOKED_PAGES = 5


@dataclass(frozen=True, slots=True)
class _Columns:
    schema: Schema
    keys: Mapping[str, str]
    """The key of each column that is not the parent's."""
    guessed: frozenset[str]
    seen: Survey
    notes: tuple[str, ...] = ()


class RestSource:
    """A `Source`, `Incremental` and `Closing`. Sends no request before its first use."""

    note: str | None = None

    def __init__(
        self, context: Context, *, sleep: Callable[[float], None] = time.sleep, longest: float | None = None
    ) -> None:
        """`longest` as for `Api`. Raises SourceError for invalid settings."""
        self._settings = settings_of(context.settings, config_of(context.connection.config).endpoints)
        self._declared = context.fields
        self._api = Api(context, sleep=sleep, longest=longest)
        self._cursor: Position | None = None
        self._found: _Columns | None = None
        self._slices: list[dict[str, str]] | None = None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._cursor = cursors.get(CURSOR)
        self._slices = None

    def close(self) -> None:
        self._api.close()

    def fingerprint(self) -> None:
        """Does nothing: an API has no version to check."""

    def discover(self, *, max_partitions: int) -> Discovery:
        """Requests the parents, and without declared fields the first pages."""
        slices = self._all_slices()
        found = self._columns(slices)
        keys = dict(found.keys)
        if self._settings.cursor is not None:
            begin = self._cursor
            first = (begin.get("open") or {}).get("slice") if begin is not None else None
            places: list[dict[str, Any]] = [{"slices": beginning_with(slices, first), "begin": begin}] if slices else []
        else:
            places = [{"slices": slices[a:b]} for a, b in shared_out(len(slices), max_partitions)] if slices else []
        name = self._settings.path or "/"
        partitions = [
            Partition(
                index,
                numbered_from(index),
                0,
                {**place, "keys": keys},
                counted=False,
                cursor=CURSOR if self._settings.cursor is not None else None,
                label=name if len(places) == 1 else f"{name} [{index + 1}/{len(places)}]",
            )
            for index, place in enumerate(places)
        ]
        sure = frozenset(each.name for each in found.schema if each.data_type in ALWAYS_READABLE)
        if self._settings.key or self._settings.cursor is not None:
            sure = frozenset()  # records may be rejected for other reasons than a type
        return Discovery(
            found.schema, partitions, 0, None, sure, found.guessed, notes=found.notes, restart=Restart.BOUNDARY
        )

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """The types of the sampled records; sends no further request."""
        found = self._columns(self._all_slices())
        wanted = [name for name in columns if name in found.keys]
        seen = TypeStatistics(tuple(Field(name, "text") for name in wanted))
        frame = pl.DataFrame([self._text(found, name) for name in wanted])
        seen.add(frame)
        return seen.found

    def sample(self, rows: int) -> pl.DataFrame:
        found = self.discover(max_partitions=1)
        frames, count = [], 0
        wanted = Wanted(frozenset(each.name for each in found.schema), batch_rows=rows)
        for partition in found.partitions[:1]:
            for batch in self.read(partition, found.schema, wanted=wanted):
                frames.append(batch.frame)
                count += batch.frame.height
                if count >= rows:
                    break
        if not frames:
            return pl.DataFrame(schema={**{f.name: polars_dtype(f) for f in found.schema}, ROW: pl.Int64})
        return pl.concat(frames).head(rows)

    def first_page(self) -> tuple[Page, str] | None:
        """The first page of the first slice, and the slice; None without parents. Raises SourceError."""
        for values in self._all_slices():
            label = label_of(values)
            given = sent_values(self._settings, values, None)
            if self._settings.job is not None:
                given |= created(self._api, self._settings.job, given, label)
            return next(results_of(self._api, self._settings, given, None, label)), label
        return None

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """A position is `{"open": position of the next page}`, without `open` at the end, and contains the cursors'
        values."""
        reading = Reading(
            self._api, self._settings, partition, schema, wanted, rows_done, declared=bool(self._declared)
        )
        held: Batch | None = None
        try:
            for batch in reading.batches(position):
                if held is not None:
                    yield held
                held = batch
        except SourceError:  # a retry goes on behind what was read before
            if held is not None:
                yield held
            raise
        if held is not None:
            held.position = reading.ended()
            yield held

    # --- helpers

    def _all_slices(self) -> list[dict[str, str]]:
        if self._slices is None:
            self._slices = slices_of(self._api, self._settings)
        return self._slices

    def _columns(self, slices: Sequence[Mapping[str, str]]) -> _Columns:
        if self._found is None:
            if self._declared:
                self._found = self._declared_columns(slices)
            else:
                self._found = self._described_columns() if self._settings.fields else self._seen_columns(slices)
        return self._found

    def _described_columns(self) -> _Columns:
        """The columns of the settings' `fields`, whose keys are as written; sends no request."""
        own = [column_of(name, kind) for name, kind in self._settings.fields.items()]
        added = [Field(name, "text") for name in self._included()]
        return _Columns((*own, *added), {each.name: each.name for each in own}, frozenset(), Survey())

    def _included(self) -> dict[str, str]:
        return self._settings.parent.include if self._settings.parent is not None else {}

    def _declared_columns(self, slices: Sequence[Mapping[str, str]]) -> _Columns:
        """Searches the first records for the keys of declared columns."""
        own = tuple(each for each in self._declared if each.name not in self._included())
        rows = Objects().rows(block_of(self._first_records(slices, 1)))
        keys = list(dict.fromkeys(key for row in rows.sound for key in row))
        name = f"the first records of {self._settings.path or '/'}"
        notes = missing_column_notes(own, keys, name, {}, rows=len(rows.sound)) if own else ()
        return _Columns(self._declared, keys_of(own, keys), frozenset(), Survey(), notes)

    def _first_records(self, slices: Sequence[Mapping[str, str]], most: int) -> list[bytes]:
        """At least `count` records, if a few pages have that many."""
        records: list[bytes] = []
        asked = 0
        for values in slices:
            given, label = sent_values(self._settings, values, None), label_of(values)
            if self._settings.job is not None:
                given |= created(self._api, self._settings.job, given, label)
            for page in results_of(self._api, self._settings, given, None, label):
                asked += 1
                records += page.records
                if asked >= _LOOKED_PAGES or len(records) >= most:
                    return records
        return records

    def _seen_columns(self, slices: Sequence[Mapping[str, str]]) -> _Columns:
        seen, keys = Survey(), dict[str, None]()
        records = self._first_records(slices, _LOOKED_AT)
        if records:
            rows = Objects().rows(block_of(records))
            if rows.faulty and not rows.sound:
                raise SourceError(
                    "bad_page",
                    f"The records of {self._settings.path or '/'} are not objects: {rows.faulty[0].error}.",
                    "Set 'records' to the path of objects, or 'scalars' to a column's name for bare values.",
                )
            for row in rows.sound:
                keys |= dict.fromkeys(row)
            seen.samples = list(rows.sound)
        if len(keys) > MOST_COLUMNS:
            raise SourceError("too_many_columns", f"Records have {len(keys):,} keys.", "Declare `fields`.")
        seen.keys = list(keys)
        names = column_names(seen.keys, self._settings.path or "the answer")
        fields, guessed = fields_of(seen, names)
        if self._settings.format == "csv":
            by_key = {name: key for key, name in names.items()}
            fields = [infer_field(self._cells(seen, by_key[f.name], f.name), complete=False) for f in fields]
        twice = {*self._included()} & {each.name for each in fields}
        if twice:
            raise SourceError(
                "bad_option", f"Records have the key '{min(twice)}' of parent.include.", "Rename it there."
            )
        added = [Field(name, "text") for name in self._included()]
        return _Columns((*fields, *added), {name: key for key, name in names.items()}, guessed, seen)

    def _text(self, found: _Columns, name: str) -> pl.Series:
        return self._cells(found.seen, found.keys[name], name)

    @staticmethod
    def _cells(seen: Survey, key: str, name: str) -> pl.Series:
        return cells(name, [row.get(key, NULL) for row in seen.samples]).text
