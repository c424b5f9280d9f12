"""An endpoint of an HTTP API as a source: slices (parents, windows of time), and in each the pages in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import ALWAYS_READABLE, cast_text
from headrace.connectors.connector import Context
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.infer import TypeStatistics, infer_field
from headrace.connectors.files.formats.json_rows import column_names, keys_of, missing_column_notes
from headrace.connectors.files.jsontext.cells import cells
from headrace.connectors.files.jsontext.reader import RowReader
from headrace.connectors.files.jsontext.rows import NULL, Objects
from headrace.connectors.files.jsontext.survey import MOST_COLUMNS, Survey, fields_of
from headrace.connectors.http.answers import block_of
from headrace.connectors.http.archive import results
from headrace.connectors.http.client import Api, config_of
from headrace.connectors.http.jobs import created, ended
from headrace.connectors.http.pages import Page, pages
from headrace.connectors.http.paging import Place
from headrace.connectors.http.settings import RestSettings, column_of, settings_of
from headrace.connectors.http.slices import beginning_with, label_of, shared_out, slices_of
from headrace.connectors.http.watch import CursorWatch, Mark, RepeatWatch, check_described, check_keys, sent_value
from headrace.connectors.source import (
    REJECT_SCHEMA,
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
BATCH_ROWS = 65_536
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

    def __init__(self, context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises SourceError for invalid settings."""
        self._settings = settings_of(context.settings, config_of(context.connection.config).endpoints)
        self._declared = context.fields
        self._api = Api(context, sleep=sleep)
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
        for partition in found.partitions[:1]:
            for batch in self.read(partition, found.schema):
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
            given = self._values(values, None)
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
        reading = _Reading(self, partition, schema, wanted, rows_done)
        held: Batch | None = None
        for batch in reading.batches(position):
            if held is not None:
                yield held
            held = batch
        if held is not None:
            held.position = reading.ended()
            yield held

    # --- helpers

    def _all_slices(self) -> list[dict[str, str]]:
        if self._slices is None:
            self._slices = slices_of(self._api, self._settings)
        return self._slices

    def _values(self, values: Mapping[str, str], since: Mark | None) -> dict[str, str]:
        cursor = self._settings.cursor
        sent = sent_value(cursor, since) if cursor is not None else None
        return {**values, **({"cursor": sent} if sent is not None else {})}

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
            given, label = self._values(values, None), label_of(values)
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


def results_of(
    api: Api, settings: RestSettings, given: Mapping[str, str], place: Place | None, label: str
) -> Iterator[Page]:
    """The pages of a slice, or the blocks of its archive."""
    if settings.archive is not None or (settings.job is not None and settings.job.at_once):
        return results(api, settings, given, place, label)
    return pages(api, settings, given, place, label)


class _Reading:
    """Reads one partition."""

    def __init__(
        self, source: RestSource, partition: Partition, schema: Schema, wanted: Wanted | None, rows_done: int
    ) -> None:
        self._source, self._settings, self._api = source, source._settings, source._api
        self._place, self._first_row, self._done = partition.location, partition.first_row, rows_done
        included = self._settings.parent.include if self._settings.parent is not None else {}
        chosen = [each for each in schema if wanted is None or each.name in wanted.columns]
        self._order = [*(each.name for each in chosen), ROW]
        own = tuple(each for each in chosen if each.name not in included)
        keys: Mapping[str, str] = self._place.get("keys", {})
        self._reader = RowReader(own, {each.name: keys.get(each.name, each.name) for each in own}, self._settings.nulls)
        self._included = [(each, f"parent.{included[each.name]}") for each in chosen if each.name in included]
        self._size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        strict = not source._declared and not self._settings.fields and self._settings.new_keys == "fail" and keys
        self._known = frozenset(keys.values()) if strict else None
        self._expected = frozenset(self._settings.fields) if not source._declared else frozenset()
        """The described keys, until a record had one of them."""
        self._marks: dict[str, dict[str, Any]] = {}
        self._job: dict[str, str] = {}
        """The values of the job whose results are read."""

    def ended(self) -> Position:
        """The position after the last record."""
        return {"marks": self._marks} if self._settings.cursor is not None else {"ended": True}

    def batches(self, position: Position | None) -> Iterator[Batch]:
        """All batches from a position on."""
        state = position if position is not None else self._place.get("begin")
        going_on = dict(state.get("open") or {}) if state is not None else {}
        self._marks = dict(state.get("marks") or {}) if state is not None else {}
        slices: list[dict[str, str]] = list(self._place["slices"])
        begin = 0
        if position is not None and not going_on:
            return
        if going_on:
            if going_on["slice"] not in slices:
                if position is not None:
                    raise SourceError(
                        "bad_position", "The position is in no slice of this partition.", "Start a new run."
                    )
                going_on = {}  # its parent was deleted since the last run
            else:
                begin = slices.index(going_on["slice"])
        for index in range(begin, len(slices)):
            yield from self._slice(slices[index], going_on if index == begin else {}, slices[index + 1 : index + 2])

    def _slice(
        self, values: dict[str, str], going_on: Mapping[str, Any], following: Sequence[dict[str, str]]
    ) -> Iterator[Batch]:
        cursor, key = self._settings.cursor, _key(values)
        since = Mark.of(going_on["since"] if "since" in going_on else self._marks.get(key))
        again: str | None = going_on.get("again")
        watch = (
            CursorWatch(cursor, since, Mark.of(going_on.get("newest")), again=again is not None)
            if cursor is not None
            else None
        )
        repeats = RepeatWatch(self._settings.key)
        repeats.load(going_on.get("keys", ()))
        place = Place.of(going_on["page"]) if "page" in going_on else None
        skip, label = int(going_on.get("skip", 0)), label_of(values)
        self._job = dict(going_on.get("job") or {})
        held: Batch | None = None
        for page in self._pages(values, watch, place, label, again):
            if self._known is not None and page.records:
                check_keys(page.records, self._known, page.answer.what)
            if self._expected and page.records:
                check_described(page.records, self._expected, page.answer.what)
                self._expected = frozenset()
            before = {**self._opened(values, watch, repeats, again), "page": page.here.as_json()}
            records = page.records
            lacking = None
            if watch is not None and records:
                records, lacking = watch.kept(records)
            came = repeats.repeated(records)
            after = None if watch is not None and watch.ended else page.after
            if watch is not None and after is not None and watch.restarts(after.records):
                again, after = watch.restarted(page.answer.what), None
            behind = self._opened(values, watch, repeats, again)
            if after is not None:
                behind["page"] = after.as_json()
            start, skip = skip, 0
            for at in range(start, len(records), self._size):
                part = slice(at, at + self._size)
                batch = self._batch(records[part], values)
                if lacking is not None and cursor is not None:
                    batch = _rejected(batch, lacking[part], self._row(batch), cursor.field, "cursor", "No such value")
                batch = _rejected(
                    batch, came[part], self._row(batch), None, "repeated", f"Its key came before ({page.answer.what})"
                )
                inside = at + self._size < len(records)
                opened = {**before, "skip": at + self._size} if inside else behind
                batch.position = {"open": opened, **({"marks": dict(self._marks)} if watch is not None else {})}
                if held is not None:
                    yield held
                held = batch
        if watch is not None and watch.newest is not None:
            self._marks = {**self._marks, key: watch.newest.as_json()}
        if held is not None:
            if following:
                held.position = {"open": {"slice": following[0]}}
                if watch is not None:
                    held.position["marks"] = dict(self._marks)
            yield held

    def _pages(
        self, values: dict[str, str], watch: CursorWatch | None, place: Place | None, label: str, again: str | None
    ) -> Iterator[Page]:
        """The pages of a slice. The request begins again (`again` is its cursor) where the API gives only so many
        records; `watch` has seen each page before the next one is asked for."""
        while True:
            since = watch.since if watch is not None else None
            given = self._source._values(values, since) if again is None else {**values, "cursor": again}
            restarted = False
            if self._settings.job is not None:
                self._job = self._job_of(given, label)
                given = {**given, **self._job}
            for page in results_of(self._api, self._settings, given, place, label):
                yield page
                if watch is not None and (watch.ended or watch.again is not None):
                    again, watch.again, restarted = watch.again, None, not watch.ended
                    break
            if not restarted:
                return
            place, self._job = None, {}

    def _job_of(self, given: Mapping[str, str], label: str) -> dict[str, str]:
        """The values of the slice's job: a new one, or the one whose results were read before."""
        job = self._settings.job
        assert job is not None
        if not self._job:
            return created(self._api, job, given, label)
        try:
            return ended(self._api, job, given, self._job, label)
        except SourceError as error:
            if error.code != "not_found":
                raise
            raise SourceError(
                "job_gone",
                f"{error.message.rstrip('.')}: the job whose results were being read is not there any more.",
                "Start a new run; if the source has a cursor, reset it: `headrace cursors PIPELINE --reset`.",
            ) from None

    def _opened(
        self, values: dict[str, str], watch: CursorWatch | None, repeats: RepeatWatch, again: str | None
    ) -> dict[str, Any]:
        """The position in a slice, without its page."""
        opened: dict[str, Any] = {"slice": values}
        if watch is not None and watch.since is not None:
            opened["since"] = watch.since.as_json()
        if watch is not None and watch.so_far is not None:
            opened["newest"] = watch.so_far.as_json()
        if self._settings.key and (keys := repeats.as_json()):
            opened["keys"] = keys
        if again is not None:
            opened["again"] = again
        if self._job:
            opened["job"] = self._job
        return opened

    def _row(self, batch: Batch) -> int:
        return self._first_row + batch.rows_done - batch.rows

    def _batch(self, records: list[bytes], values: Mapping[str, str]) -> Batch:
        batch = self._reader.parse(block_of(records), self._first_row + self._done, 0)
        self._done += batch.rows
        batch.rows_done = self._done
        for column, name in self._included:
            typed, bad = cast_text(pl.Series(column.name, [values[name]]), column)
            if bad is not None:
                raise SourceError(
                    "bad_option",
                    f"'{values[name][:60]}' of the parent is not of the type {column.data_type}.",
                    "Declare it as text.",
                )
            batch.frame = batch.frame.with_columns(typed.new_from_index(0, batch.frame.height).alias(column.name))
        batch.frame = batch.frame.select(self._order)
        return batch


def _rejected(batch: Batch, which: pl.Series, first: int, column: str | None, rule: str, error: str) -> Batch:
    """The batch with more rejected rows; already rejected rows keep their reason."""
    if not which.any():
        return batch
    numbers = pl.Series(range(first, first + which.len()), dtype=pl.Int64).filter(which)
    taken = batch.frame.get_column(ROW).is_in(numbers.implode())
    rows = batch.frame.get_column(ROW).filter(taken)
    more = pl.DataFrame(
        {
            "row": rows,
            "column": [column] * rows.len(),
            "value": [None] * rows.len(),
            "error": [error] * rows.len(),
            "rule": [rule] * rows.len(),
        },
        schema=REJECT_SCHEMA,
    )
    batch.frame = batch.frame.filter(~taken)
    batch.rejects = pl.concat([batch.rejects, more]).sort("row", maintain_order=True)
    return batch


def _key(values: Mapping[str, str]) -> str:
    """The name of a slice's cursor: its parent's values."""
    return "/".join(f"{name}={value}" for name, value in values.items())
