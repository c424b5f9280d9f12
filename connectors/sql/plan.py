"""Splits a relation into partitions and describes each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Partition, Position, Restart, numbered_from
from headrace.connectors.sql.columns import values_of_position
from headrace.connectors.sql.dialect import Dialect
from headrace.connectors.sql.ranges import partitions_for, ranges
from headrace.connectors.sql.relation import Column, Relation
from headrace.connectors.sql.select import Select
from headrace.connectors.sql.settings import CursorSettings, SqlSettings

CURSOR = "default"
"""The cursor's name, for sources with a single cursor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The locations of the partitions, their estimated number of rows, and notes."""

    locations: Sequence[Mapping[str, Any]]
    rows: int
    restart: Restart
    notes: tuple[str, ...] = ()
    cursor: str | None = None

    def partitions(self, name: str) -> list[Partition]:
        """The partitions for the runtime."""
        count = len(self.locations)
        return [
            Partition(
                index,
                numbered_from(index),
                self.rows // count,
                location,
                counted=False,
                cursor=self.cursor,
                label=name if count == 1 else f"{name} [{index + 1}/{count}]",
            )
            for index, location in enumerate(self.locations)
        ]


def key_of(relation: Relation, settings: SqlSettings) -> tuple[Column, ...]:
    """The columns that identify a row, from the settings or else the server. Raises SourceError."""
    return tuple(relation.column(name, "key") for name in settings.key or relation.key)


def full(relation: Relation, settings: SqlSettings, dialect: Dialect, most: int) -> Plan:
    """Plans to read all rows in at most `most` partitions. Raises SourceError."""
    asked = settings.partitions
    key = key_of(relation, settings)
    split = relation.column(asked.column, "partitioning.column") if asked.column else (key[0] if key else None)
    if asked.by == "key" and split is None:
        raise SourceError(
            "bad_option",
            f"{relation.name} has no key to split it by.",
            "Name one in partitioning.column, or leave out partitioning.by.",
        )
    rows = relation.rows if relation.rows is not None else dialect.estimate(Select(relation, ()))
    parts = 1 if asked.by == "none" else partitions_for(rows, asked.partitions or 0, most)
    by_own = asked.by == "ctid" or (asked.by == "auto" and split is None)
    locations: list[dict[str, Any]]
    if by_own:
        own = dialect.own_ranges(relation, parts) if parts > 1 or asked.by == "ctid" else ()
        if asked.by == "ctid" and not own:
            raise SourceError(
                "bad_option", f"{relation.name} has no pages to split it by.", "Use partitioning.by=auto."
            )
        locations = [{"own": each} for each in own] or [{}]
        order: tuple[Column, ...] = () if own else key
    else:
        points = dialect.cuts(relation, split, parts) if split is not None and parts > 1 else ()
        order = _order(split, key)
        locations = [{"range": each.as_json()} for each in ranges(points)] if points else [{}]
    notes = _snapshot(locations, dialect)
    for each in locations:
        each["order"] = [column.name for column in order]
        if "range" in each and split is not None:
            each["split"] = split.name
    return Plan(locations, rows or 0, Restart.BOUNDARY if order else Restart.NONE, notes)


def _order(split: Column | None, key: tuple[Column, ...]) -> tuple[Column, ...]:
    """The order: the split column, then the key; empty without a key, or if positions could be null."""
    if not key or split is None or split.nullable or split.name == key[0].name:
        return key
    return (split, *(column for column in key if column.name != split.name))


def _snapshot(locations: Sequence[dict[str, Any]], dialect: Dialect) -> tuple[str, ...]:
    if len(locations) < 2:
        return ()
    name = dialect.hold_snapshot()
    if name is None:
        return (f"{dialect.title} gives no snapshot here: each partition is read at its own time",)
    for each in locations:
        each["snapshot"] = name
    return ()


def since(relation: Relation, settings: SqlSettings, dialect: Dialect, position: Position | None) -> Plan:
    """Plans to read what is new since a position, up to now less the lag, in one partition. Raises SourceError."""
    cursor = settings.cursor
    assert cursor is not None
    column = relation.column(cursor.column, "cursor.column")
    order = (column, *(each for each in _ties(relation, settings, cursor) if each.name != column.name))
    upto = dialect.newest(relation, column, cursor.lag)
    notes = []
    if column.nullable and (count := dialect.without(relation, [column])):
        notes.append(f"{count:,} rows of {relation.name} have no {column.name}: they are not read")
    if upto is None:
        return Plan((), 0, Restart.BOUNDARY, tuple(notes), CURSOR)
    names = [each.name for each in order]
    after = None if position is None else values_of_position(position, names)
    location = {"order": names, "cursor": column.name, "since": cursor.initial, "after": after, "upto": upto}
    rows = dialect.estimate(Select(relation, (), order, after, cursor=column, since=cursor.initial, upto=upto))
    return Plan([location], rows or 0, Restart.BOUNDARY, tuple(notes), CURSOR)


def _ties(relation: Relation, settings: SqlSettings, cursor: CursorSettings) -> tuple[Column, ...]:
    if cursor.key is not None:
        return tuple(relation.column(name, "cursor.key") for name in cursor.key)
    key = key_of(relation, settings)
    if not key:
        raise SourceError(
            "bad_option",
            f"{relation.name} has no key that distinguishes rows with the same {cursor.column}.",
            "Name one in cursor.key, or write [] if no two rows have the same value.",
        )
    return key
