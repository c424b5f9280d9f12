"""A collection as a source: read in the order of `_id`, so that reading can continue after any document."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from headrace.connectors.column_names import nearest_name
from headrace.connectors.connector import Context
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.formats.json_rows import column_names
from headrace.connectors.mongodb.catalog import Collection, all_types, collection, ordered, sampled_types
from headrace.connectors.mongodb.cursors import comparable, conditions, initial_value, present
from headrace.connectors.mongodb.filters import Refused, checked_filter, checked_projection
from headrace.connectors.mongodb.frames import ID, Chosen, Rows, fields, projection
from headrace.connectors.mongodb.login import access
from headrace.connectors.mongodb.ranges import cuts, documents_after, within
from headrace.connectors.mongodb.raw import Value, packed, unpacked
from headrace.connectors.mongodb.session import SECONDS, Session
from headrace.connectors.mongodb.settings import settings_of
from headrace.connectors.mongodb.types import field_for, note_for
from headrace.connectors.reconnecting import PAUSES, reconnecting
from headrace.connectors.source import (
    ROW,
    Batch,
    Discovery,
    Fitting,
    Partition,
    Position,
    Restart,
    StreamFound,
    Wanted,
    numbered_from,
)
from headrace.connectors.sql.plan import CURSOR
from headrace.connectors.sql.ranges import partitions_for
from headrace.ir.schema import Field, Schema

BATCH_ROWS = 65_536
"""The most documents of a batch; the server sends at most 16 MiB."""
_ALWAYS_READ = frozenset(("text", "varchar", "json"))


class MongoSource:
    """A `Source`, `Incremental` and `Closing` over a collection or a view. Connects at the first call only."""

    def __init__(self, context: Context, *, pauses: tuple[float, ...] = PAUSES) -> None:
        """Raises SourceError for invalid settings."""
        self._settings = settings_of(context.settings)
        self._declared = context.fields
        self._pauses = pauses
        given = self._settings.timeout_seconds
        self.session = Session(access(context), seconds=SECONDS if given is None else given)
        self._cursors: Mapping[str, Position] = {}
        self._found: Collection | None = None
        try:
            self._filter = checked_filter(self._settings.filter)
            sent = self._settings.projection
            self._projection = None if sent is None else checked_projection(sent)
        except Refused as error:
            raise SourceError("bad_filter", f"{error}.", error.hint) from None

    @property
    def note(self) -> str | None:
        """None: problems are reported at discovery."""
        return None

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        self._cursors = cursors

    def close(self) -> None:
        self.session.close()

    def discover(self, *, max_partitions: int) -> Discovery:
        """Without declared fields, the server reads every document to find keys and types."""
        found = self._collection()
        if self._settings.cursor is not None:
            locations, notes = self._since(found)
        else:
            locations, notes = self._full(found, max_partitions)
        chosen, remarks = self._columns(found, locations)
        rows = (found.rows or 0) if self._settings.cursor is None else 0
        count = max(1, len(locations))
        name = f"{self.session.database}.{found.name}"
        cursor = None if self._settings.cursor is None else CURSOR
        keys = {each.field.name: each.key for each in chosen if each.key != each.field.name}
        partitions = [
            Partition(
                index,
                numbered_from(index),
                rows // count,
                {**location, "keys": keys},
                counted=False,
                cursor=cursor,
                label=name if count == 1 else f"{name} [{index + 1}/{count}]",
            )
            for index, location in enumerate(locations)
        ]
        keyed = found.keyed or cursor is not None
        return Discovery(
            fields(chosen),
            partitions,
            rows,
            None,
            frozenset(each.field.name for each in chosen if each.field.data_type in _ALWAYS_READ),
            notes=(*notes, *remarks),
            restart=Restart.BOUNDARY if keyed else Restart.NONE,
        )

    def found(self) -> StreamFound:
        """Describes the collection for discovery: its columns in a sample of documents. Raises SourceError."""
        found = self._collection()
        seen = None
        if self._declared or self._settings.document is not None:
            chosen = self._declared_columns()
        else:
            stages = [*self._stages([]), *([{"$sample": {"size": 200}}] if found.keyed else [])]
            types, seen = sampled_types(self.session, found.name, stages)
            chosen = self._typed(types)
        given = self._settings.model_dump(include={"collection", "filter"}, exclude_defaults=True)
        key = (ID,) if found.keyed else ()
        return StreamFound(found.name, given, found.kind, fields(chosen), found.rows, key, sampled=seen)

    def fingerprint(self) -> None:
        """Does nothing: a database has no version to check."""

    def types_of(self, columns: Names[str]) -> Mapping[str, Fitting]:
        """Empty: no type is inferred."""
        del columns
        return {}

    def sample(self, rows: int) -> pl.DataFrame:
        """The first documents; without declared fields, with the keys and types of those documents."""
        found = self._collection()
        if self._declared or self._settings.document is not None:
            chosen: Sequence[Chosen] = self._declared_columns()
        else:
            chosen = self._typed(sampled_types(self.session, found.name, self._stages([]))[0])
        reader = Rows(chosen, (), 1, found.name)
        taken, done = [], 0
        for text in self._asked(found.name, [], projection(chosen, (), self._projection), limit=rows):
            batch = reader.batch(text, done)
            done = batch.rows_done
            taken.append(batch.frame)
        if taken:
            return pl.concat(taken)
        dtypes = {each.name: polars_dtype(each) for each in fields(chosen)}
        return pl.DataFrame(schema=dtypes | {ROW: pl.Int64})

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """Reconnects where reading can continue after the last batch; the driver finds a member that
        has taken over."""
        yield from reconnecting(
            lambda done, after: self._read(partition, schema, wanted, done, after),
            rows_done,
            position,
            pauses=self._pauses,
            can_go_on=bool(partition.location.get("order")),
        )

    def _read(
        self, partition: Partition, schema: Schema, wanted: Wanted | None, rows_done: int, position: Position | None
    ) -> Iterator[Batch]:
        place = partition.location
        name = self._settings.collection
        keys: Mapping[str, str | None] = place.get("keys", {})
        chosen = [
            Chosen(field, keys.get(field.name, field.name))
            for field in schema
            if wanted is None or field.name in wanted.columns
        ]
        order = [str(each) for each in place.get("order", ())]
        reader = Rows(chosen, order, partition.first_row, partition.label or name)
        size = min(BATCH_ROWS, (wanted.batch_rows if wanted is not None else None) or BATCH_ROWS)
        only = list(_conditions(place, order, position))
        sent = projection(chosen, order, self._projection)
        for text in self._asked(name, only, sent, order=[(key, 1) for key in order], rows=size):
            batch = reader.batch(text, rows_done)
            rows_done = batch.rows_done
            yield batch

    def _asked(self, name: str, only: Sequence[Mapping[str, Any]], sent: Any, **how: Any) -> Iterator[bytes]:
        return self.session.raw(name, _all([self._filter, *only]), projection=sent, **how)

    def _stages(self, only: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The aggregation stages that select the documents."""
        matched = _all([self._filter, *only])
        stages: list[Mapping[str, Any]] = [{"$match": matched}] if matched else []
        return stages if self._projection is None else [*stages, {"$project": self._projection}]

    def _full(self, found: Collection, most: int) -> tuple[list[dict[str, Any]], list[str]]:
        if not found.keyed:
            return [{"order": []}], []
        asked = self._settings.partitions
        parts = 1 if asked.by == "none" else partitions_for(found.rows, asked.partitions or 0, most)
        points = cuts(self.session, found.name, found.rows or 0, parts) if parts > 1 else []
        edges: list[Value | None] = [None, *points, None]
        locations = [{"order": [ID], "low": _text(low), "high": _text(high)} for low, high in pairwise(edges)]
        notes = ["documents that change while they are read may be read as they were, or as they are"]
        return locations, notes if len(locations) > 1 else []

    def _since(self, found: Collection) -> tuple[list[dict[str, Any]], list[str]]:
        cursor = self._settings.cursor
        assert cursor is not None
        order = [cursor.column] if cursor.column == ID else [cursor.column, ID]
        seen = present(self.session, found.name, cursor, self._filter)
        if seen is None:
            return [], []
        notes = []
        if seen.others:
            notes.append(
                f"{seen.others:,} documents of {found.name} have no {cursor.column} to compare: they are not read"
            )
        position = self._cursors.get(CURSOR)
        after = None if position is None else _values_of_position(position, order)
        if after is not None and not comparable(after[0], seen.upto):
            raise SourceError(
                "bad_position",
                f"'{cursor.column}' has another type than where the last run ended.",
                "Reset the source's cursor to read all of it again.",
            )
        since = initial_value(cursor, seen.upto)
        location = {
            "order": order,
            "since": _text(since),
            "upto": _text(seen.upto),
            "after": None if after is None else packed(after),
        }
        return [location], notes

    def _collection(self) -> Collection:
        if self._found is None:
            self._found = collection(self.session, self._settings.collection)
        return self._found

    def _columns(
        self, found: Collection, locations: Sequence[Mapping[str, Any]]
    ) -> tuple[Sequence[Chosen], Sequence[str]]:
        if self._declared or self._settings.document is not None:
            chosen = self._declared_columns()
            return chosen, self._missing(found, chosen)
        only = (
            list(_conditions(locations[0], locations[0]["order"], None)) if self._settings.cursor and locations else []
        )
        stages = self._stages(only)
        types = all_types(self.session, found.name, stages) if locations else {}
        types |= {key: set() for key in self._settings.known_keys if key not in types}
        chosen = self._typed(ordered(types, sampled_types(self.session, found.name, stages)[0] if types else {}))
        notes = [note_for(str(each.key), types[str(each.key)], each.field) for each in chosen]
        return chosen, [note for note in notes if note is not None]

    def _typed(self, types: Mapping[str, set[str]]) -> list[Chosen]:
        names = column_names(list(types), self._settings.collection)
        return [Chosen(field_for(names[key], seen), key) for key, seen in types.items()]

    def _declared_columns(self) -> list[Chosen]:
        whole = self._settings.document
        declared = self._declared or (Field(ID, "text"),)
        chosen = [Chosen(each, None if each.name == whole else each.name) for each in declared]
        if whole is not None and all(each.field.name != whole for each in chosen):
            chosen.append(Chosen(Field(whole, "json"), None))
        for each in chosen:
            if each.key is None and each.field.data_type not in ("json", "text"):
                raise SourceError("bad_option", f"'{whole}' is the whole document.", "Declare it as json.")
        return chosen

    def _missing(self, found: Collection, chosen: Sequence[Chosen]) -> list[str]:
        """A note about fields that no sampled document has: a misspelt one would be null in all rows."""
        types, seen = sampled_types(self.session, found.name, self._stages([]))
        said = []
        for each in chosen:
            if seen and each.key is not None and each.key not in types:
                near = nearest_name(each.key, list(types))
                said.append(f"none of the first {seen:,} documents has '{each.key}'{f': {near}' if near else ''}")
        return said


def _conditions(
    place: Mapping[str, Any], order: Sequence[str], position: Position | None
) -> Iterator[Mapping[str, Any]]:
    """The filters of a partition's documents, after a position in it."""
    low, high, upto = (_value(place.get(name)) for name in ("low", "high", "upto"))
    after = unpacked(place["after"], len(order)) if place.get("after") is not None else None
    if position is not None:
        after = _values_of_position(position, order)
        low = None
    yield from within(low, high)
    if upto is not None:
        yield from conditions(order[0], upto, _value(place.get("since")) if after is None else None)
    if after is not None:
        yield documents_after(order, after)


def _values_of_position(position: Position, order: Sequence[str]) -> list[Value]:
    if not isinstance(position, Mapping) or position.get("by") != list(order):
        raise SourceError(
            "bad_position",
            f"The stored position has another order than {', '.join(order)}.",
            "The cursor of the source was changed: reset it to read all of it again.",
        )
    return unpacked(position.get("after"), len(order))


def _all(given: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    some = [each for each in given if each]
    return dict(some[0]) if len(some) == 1 else {"$and": some} if some else {}


def _text(value: Value | None) -> str | None:
    return None if value is None else packed([value])


def _value(text: object) -> Value | None:
    return None if text is None else unpacked(text, 1)[0]
