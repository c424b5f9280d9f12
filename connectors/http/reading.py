"""Reads the slices of a partition of an endpoint, page by page, with the positions at which reading can go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.errors import SourceError
from headrace.connectors.files.jsontext.reader import RowReader
from headrace.connectors.http.answers import block_of
from headrace.connectors.http.archive import results
from headrace.connectors.http.client import Api
from headrace.connectors.http.gathering import Gathered, gathered
from headrace.connectors.http.jobs import created, ended
from headrace.connectors.http.pages import Page, pages
from headrace.connectors.http.paging import Place
from headrace.connectors.http.screening import Screened, screened
from headrace.connectors.http.settings import RestSettings
from headrace.connectors.http.slices import label_of
from headrace.connectors.http.watch import CursorWatch, Mark, RepeatWatch, check_described, check_keys, sent_value
from headrace.connectors.source import ROW, Batch, Partition, Position, Wanted
from headrace.ir.schema import Schema

BATCH_ROWS = 65_536


def sent_values(settings: RestSettings, values: Mapping[str, str], since: Mark | None) -> dict[str, str]:
    """The values of a slice with that of `{cursor}`, if it has one."""
    sent = sent_value(settings.cursor, since) if settings.cursor is not None else None
    return {**values, **({"cursor": sent} if sent is not None else {})}


def results_of(
    api: Api, settings: RestSettings, given: Mapping[str, str], place: Place | None, label: str
) -> Iterator[Page]:
    """The pages of a slice, or the blocks of its archive."""
    if settings.archive is not None or (settings.job is not None and settings.job.at_once):
        return results(api, settings, given, place, label)
    return pages(api, settings, given, place, label)


class Reading:
    """Reads one partition."""

    def __init__(
        self,
        api: Api,
        settings: RestSettings,
        partition: Partition,
        schema: Schema,
        wanted: Wanted | None,
        rows_done: int,
        *,
        declared: bool,
    ) -> None:
        """`declared`: the source node declares the columns."""
        self._settings, self._api = settings, api
        self._place, self._first_row, self._done = partition.location, partition.first_row, rows_done
        included = self._settings.parent.include if self._settings.parent is not None else {}
        chosen = [each for each in schema if wanted is None or each.name in wanted.columns]
        self._order = [*(each.name for each in chosen), ROW]
        own = tuple(each for each in chosen if each.name not in included)
        keys: Mapping[str, str] = self._place.get("keys", {})
        self._reader = RowReader(own, {each.name: keys.get(each.name, each.name) for each in own}, self._settings.nulls)
        self._included = [(each, f"parent.{included[each.name]}") for each in chosen if each.name in included]
        self._size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        strict = not declared and not self._settings.fields and self._settings.new_keys == "fail" and keys
        self._known = frozenset(keys.values()) if strict else None
        self._expected = frozenset(self._settings.fields) if not declared else frozenset()
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

        def stops(page: Page) -> bool:
            return watch is not None and watch.decides(page.after.records if page.after is not None else 0)

        try:
            for group in gathered(self._pages(values, watch, place, label, again), self._size, stops):
                self._check(group)
                first, last = group.pages[0], group.pages[-1]
                before: dict[str, Any] = {}
                if group.rows > self._size:  # one page in several batches
                    before = {**self._opened(values, watch, repeats, again), "page": first.here.as_json()}
                found = screened(group, cursor, watch, repeats)
                after = None if watch is not None and watch.ended else last.after
                if watch is not None and after is not None and watch.restarts(after.records):
                    again, after = watch.restarted(last.answer.what), None
                onward = self._opened(values, watch, repeats, again)
                if after is not None:
                    onward["page"] = after.as_json()
                start, skip = skip, 0
                for at in range(start, len(found.records), self._size):
                    batch = self._batch(found, slice(at, at + self._size), values)
                    inside = at + self._size < len(found.records)
                    opened = {**before, "skip": at + self._size} if inside else onward
                    batch.position = {"open": opened, **({"marks": dict(self._marks)} if watch is not None else {})}
                    if held is not None:
                        yield held
                    held = batch
        except SourceError:
            if held is not None:
                yield held
            raise
        if watch is not None and watch.newest is not None:
            self._marks = {**self._marks, key: watch.newest.as_json()}
        if held is not None:
            if following:
                held.position = {"open": {"slice": following[0]}}
                if watch is not None:
                    held.position["marks"] = dict(self._marks)
            yield held

    def _check(self, group: Gathered) -> None:
        """Raises SourceError(`drift`) for records of another shape."""
        if self._known is not None:
            check_keys(group, self._known)
        if self._expected and group.rows:
            check_described(group.records, self._expected, group.pages[0].answer.what)
            self._expected = frozenset()

    def _pages(
        self, values: dict[str, str], watch: CursorWatch | None, place: Place | None, label: str, again: str | None
    ) -> Iterator[Page]:
        """The pages of a slice. The request begins again (`again` is its cursor) where the API gives only so many
        records; `watch` has seen each page before the next one is asked for."""
        while True:
            since = watch.since if watch is not None else None
            given = sent_values(self._settings, values, since) if again is None else {**values, "cursor": again}
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

    def _batch(self, found: Screened, part: slice, values: Mapping[str, str]) -> Batch:
        first_row = self._first_row + self._done
        batch = self._reader.parse(block_of(found.records[part]), first_row, 0)
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
        return found.rejected(batch, part, first_row)


def _key(values: Mapping[str, str]) -> str:
    """The name of a slice's cursor: its parent's values."""
    return "/".join(f"{name}={value}" for name, value in values.items())
