"""State across pages: the cursor's newest value, duplicate records, new keys."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import polars as pl

from headrace.connectors.casting.columns import cast_text
from headrace.connectors.errors import SourceError
from headrace.connectors.files.jsontext.cells import cells
from headrace.connectors.files.jsontext.rows import Columns, Objects
from headrace.connectors.http.answers import block_of
from headrace.connectors.http.gathering import Gathered
from headrace.connectors.http.moments import duration_of, moment_of, number_of, written
from headrace.connectors.http.settings import Cursor
from headrace.ir.schema import DataType, Field

MOST_TIES = 5_000
_KEPT_KEYS = 200_000
_UNSORTED_KEYS = 5_000
"""Above this many, keys are sorted, so that looking them up takes no longer with every page."""
_IN_POSITION = 500
_TYPES: dict[str, DataType] = {"time": "timestamptz", "number": "decimal", "text": "text"}


@dataclass(frozen=True, slots=True)
class Mark:
    """The newest loaded value of a cursor, as the API's text, and the records that had it."""

    value: str
    ties: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "ties": list(self.ties)}

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> Mark | None:
        return None if found is None else cls(str(found["value"]), tuple(found["ties"]))


def texts(records: list[bytes], keys: Sequence[str]) -> list[pl.Series]:
    """The values of keys as text, one for each record; null if missing or if the record is not an object. A key with
    dots that no record has is a path."""
    outer = list(dict.fromkeys((*keys, *(key.partition(".")[0] for key in keys))))
    columns = Columns(outer)
    rows = columns.rows(block_of(records))
    found = []
    for key in keys:
        text = cells(key, columns.values(rows.sound, outer.index(key))).text
        first, _, path = key.partition(".")
        if path and text.null_count() == text.len():
            whole = cells(key, columns.values(rows.sound, outer.index(first)), verbatim=True).text
            text = _inside(whole, path)
        found.append(text)
    if not rows.faulty:
        return found
    bad = {each.index for each in rows.faulty}
    places = pl.Series([index for index in range(len(records)) if index not in bad], dtype=pl.UInt32)
    return [pl.Series(each.name, [None] * len(records), dtype=pl.String).scatter(places, each) for each in found]


def _inside(values: pl.Series, path: str) -> pl.Series:
    """The values at a path in JSON texts, as text."""
    steps = "".join("[" + msgspec.json.encode(step).decode() + "]" for step in path.split("."))
    return values.str.json_path_match("$" + steps)


class CursorWatch:
    """Follows a cursor through the pages of one slice; `since` is where the last run ended. Without a lookback, records
    below it, and records at it that the last run saw, are treated as loaded."""

    def __init__(self, cursor: Cursor, since: Mark | None, newest: Mark | None = None, *, again: bool = False) -> None:
        """With `again`, the request has begun again at `since` in this run (`restarted`)."""
        self._cursor, self._newest = cursor, newest
        self._exact = again or cursor.lookback is None
        self.ended = False
        """Whether the records that follow are older than what is wanted."""
        self.again: str | None = None
        """The cursor with which the request begins again now."""
        self._begin(since)

    def _begin(self, since: Mark | None) -> None:
        self.since = since
        self._known = {*(since.ties if since is not None else ())}
        self._lower = self._limit() if since is not None else None

    @property
    def newest(self) -> Mark | None:
        """The start of the next run."""
        return self._newest or self.since

    @property
    def so_far(self) -> Mark | None:
        """The values seen in this run."""
        return self._newest

    def restarts(self, records: int) -> bool:
        """Whether the request has to begin again after so many records."""
        return self._cursor.restart_after is not None and records >= self._cursor.restart_after

    def restarted(self, what: str) -> str:
        """Begins at the newest value, which is returned as the API wants it. Raises SourceError(`bad_cursor`) if that
        is where the request began."""
        newest, cursor = self.newest, self._cursor
        if newest is None or (self._exact and self.since is not None and newest.value == self.since.value):
            raise SourceError(
                "bad_cursor",
                f"{what}: more than {cursor.restart_after:,} records in a row have the same {cursor.field}.",
                "Use a finer field, or read without 'restartAfter'.",
            )
        self._exact = True
        self._begin(newest)
        self.again = sent_value(cursor.model_copy(update={"lookback": None}), newest)
        assert self.again is not None
        return self.again

    def decides(self, records: int) -> bool:
        """Whether the next page is requested only after this one was seen; `records` were read with it."""
        newest_first = self._cursor.newest_first and self._lower is not None
        return newest_first or self.restarts(records)

    def kept(self, records: list[bytes], text: pl.Series) -> tuple[pl.Series | None, pl.Series]:
        """Which records were not loaded before, None for all of them; and which of those lack the cursor's value.
        `text` has the value of each record."""
        cursor = self._cursor
        order, bad = cast_text(text, Field(cursor.field, _TYPES[cursor.kind]))
        lacking = order.is_null() if bad is None else order.is_null() | bad
        if cursor.newest_first and self._lower is not None:
            self.ended = bool((order < self._lower).any())
        begin = self.since.value if self.since is not None else cursor.initial
        keep: pl.Series | None = None
        if self._exact and begin is not None:
            limit = self._comparable(str(begin))
            keep = (order >= limit).fill_null(value=True)
            tied = (order == limit).fill_null(value=False)
            if self._known and tied.any():
                places = tied.arg_true()
                loaded = [_digest(records[place]) in self._known for place in places.to_list()]
                keep = keep.scatter(places.filter(pl.Series(loaded)), values=False)
            if keep.all():
                keep = None
            else:
                order, text, lacking = order.filter(keep), text.filter(keep), lacking.filter(keep)
        self._follow(records, keep, order, text)
        return keep, lacking

    def _follow(self, records: list[bytes], keep: pl.Series | None, order: pl.Series, text: pl.Series) -> None:
        """Moves the newest value on. `order` and `text` have the values of the records that are kept."""
        if order.null_count() == order.len():
            return
        place = order.arg_max()
        assert place is not None
        top, value = order[place], str(text[place])
        before = self.newest
        limit = self._comparable(before.value) if before is not None else None
        if limit is not None and before is not None and top < limit:
            if self._newest is None:
                self._newest = before
            return
        ties = () if limit is None or before is None or top > limit else before.ties
        if self._cursor.lookback is None or self._cursor.restart_after is not None:
            at_top = (order == top).arg_true()
            places = at_top if keep is None else keep.arg_true().gather(at_top)
            ties = tuple(dict.fromkeys((*ties, *(_digest(records[each]) for each in places.to_list()))))
            if len(ties) > MOST_TIES:
                raise SourceError(
                    "bad_cursor",
                    f"More than {MOST_TIES:,} records have the same {self._cursor.field}, '{value[:60]}'.",
                    "Use a finer field; or set 'lookback', and load into a target with a key.",
                )
        self._newest = Mark(value, ties)

    def _limit(self) -> Any:
        """The value at which this run begins: the end of the last one, less the lookback."""
        assert self.since is not None
        value, cursor = self._comparable(self.since.value), self._cursor
        if cursor.lookback is None or value is None:
            return value
        back = duration_of(cursor.lookback) if cursor.kind == "time" else number_of(cursor.lookback)
        return value - back if back is not None else value

    def _comparable(self, value: str) -> Any:
        order, bad = cast_text(pl.Series([value]), Field(self._cursor.field, _TYPES[self._cursor.kind]))
        if bad is not None or order[0] is None:
            raise SourceError(
                "bad_position",
                f"The cursor is at '{value[:60]}', which is not of the type {self._cursor.kind}.",
                "Reset it.",
            )
        return order[0]


def sent_value(cursor: Cursor, since: Mark | None) -> str | None:
    """The value of `{cursor}`: the end of the last run, less the lookback. Raises SourceError."""
    value = since.value if since is not None else None if cursor.initial is None else str(cursor.initial)
    if value is None:
        return None
    if cursor.kind == "time" and (cursor.format is not None or (cursor.lookback is not None and since is not None)):
        moment = moment_of(value)
        if moment is None:
            raise SourceError("bad_position", f"'{value[:60]}' is not an ISO 8601 timestamp.", "Set cursor.kind.")
        back = duration_of(cursor.lookback) if cursor.lookback is not None and since is not None else timedelta(0)
        if back is None:
            raise SourceError("bad_option", f"'{cursor.lookback}' is not a duration.", "Write P1D or PT5M.")
        return written(moment - back, cursor.format or "iso")
    if cursor.kind == "number" and cursor.lookback is not None and since is not None:
        number = number_of(cursor.lookback)
        if number is None:
            raise SourceError("bad_option", f"'{cursor.lookback}' is not a number.", "Write 3600.")
        return f"{Decimal(value) - number:f}"
    return value


class RepeatWatch:
    """Finds records whose key came on an earlier page of the slice."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = keys
        self._sorted = np.zeros(0, dtype=np.uint64)
        self._recent = pl.Series([], dtype=pl.UInt64)
        """Hashes in the order of their records, which are not among the sorted ones yet."""
        self._older = self._recent

    def repeated(self, columns: Sequence[pl.Series]) -> pl.Series | None:
        """Which records are duplicates of earlier ones, on an earlier page or these; None without keys. `columns` have
        the keys' values."""
        if not columns:
            return None
        named = [each.alias(str(place)) for place, each in enumerate(columns)]
        hashes = pl.DataFrame(named).hash_rows(seed=7)
        found = hashes.is_in(self._recent.implode()) | ~hashes.is_first_distinct()
        if len(self._sorted):
            wanted = hashes.to_numpy()
            places = np.searchsorted(self._sorted, wanted).clip(max=len(self._sorted) - 1)
            found |= pl.Series(self._sorted[places] == wanted)
        self._recent = pl.concat([self._recent, hashes])
        if len(self._recent) > _UNSORTED_KEYS:
            self._sort()
        return found

    def as_json(self) -> list[str]:
        """The last keys, for the position."""
        last = self._recent.tail(_IN_POSITION)
        if len(last) < _IN_POSITION:
            last = pl.concat([self._older.tail(_IN_POSITION - len(last)), last])
        return [str(each) for each in last]

    def load(self, found: Sequence[str]) -> None:
        """The inverse of `as_json`."""
        self._recent = pl.Series([int(each) for each in found], dtype=pl.UInt64)

    def _sort(self) -> None:
        self._older = pl.concat([self._older, self._recent]).tail(_KEPT_KEYS)
        self._recent = self._recent.clear()
        self._sorted = np.sort(self._older.to_numpy())


def check_keys(group: Gathered, known: frozenset[str]) -> None:
    """Raises SourceError(`drift`) for keys that no column takes."""
    if _keys_of(group.records) <= known:
        return
    for page in group.pages:
        if new := _keys_of(page.records) - known:
            shown = ", ".join(f"'{each[:60]}'" for each in sorted(new)[:5])
            raise SourceError(
                "drift",
                f"{page.answer.what}: records have keys that no sampled record had: {shown}.",
                "Declare `fields` with those that are wanted, or set newKeys to ignore.",
            )


def _keys_of(records: list[bytes]) -> set[str]:
    return {*chain.from_iterable(Objects().rows(block_of(records)).sound)} if records else set()


def check_described(records: list[bytes], described: frozenset[str], what: str) -> None:
    """Raises SourceError(`drift`) if no record has any of the described keys."""
    seen = _keys_of(records)
    if seen and seen.isdisjoint(described):
        shown = ", ".join(f"'{each[:60]}'" for each in sorted(seen)[:5])
        raise SourceError(
            "drift",
            f"{what}: no record has any of the columns in 'fields'; they have {shown}.",
            "Correct 'records', or declare `fields`.",
        )


def _digest(record: bytes) -> str:
    return hashlib.blake2b(record, digest_size=8).hexdigest()
