"""Chooses how one table is loaded: its mode, its key and its cursor, from the settings and the table's definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.connector import Connector
from headrace.flows.compile.target.change_events import OPERATION_COLUMNS
from headrace.flows.replication.found import FoundColumn, FoundTable
from headrace.ir.load_modes import LOAD_MODES, LoadModeName
from headrace.ir.nodes.deletes import DELETING, SourceDeletes
from headrace.ir.problems import Problem, nearest
from headrace.ir.replication.settings import Cursor, ReplicaLoadMode, Settled, TableSettings


@dataclass(frozen=True, slots=True)
class Loading:
    """`key` are columns of the source. `config` is what the source is given for it; `notes` are for people."""

    mode: LoadModeName
    key: tuple[str, ...]
    cursor: Cursor | None
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    deletes: SourceDeletes | None = None
    operation: str | None = None
    """The column that says what a change event does; the table does not get it."""

    @property
    def marked(self) -> str | None:
        """The column of the table that deletes are marked in."""
        return self.deletes.column if self.deletes is not None else None

    @property
    def keyed(self) -> bool:
        """Whether the key is the primary key of the table: a row of a history or of an appended one may come again."""
        traits = LOAD_MODES[self.mode]
        return traits.full or (traits.keyed and not traits.history)


def loading_of(settled: Settled, table: FoundTable, columns: Sequence[FoundColumn], connector: Connector) -> Loading:
    """How the table is loaded. `columns` are those that are read."""
    settings, own = settled.settings, settled.own
    there = {each.name for each in columns}
    problems: list[Problem] = []
    notes: list[str] = []

    def missing(path: str, name: str) -> Problem:
        return Problem(path, "missing_column", f"It has no column '{name}'", nearest(name, there))

    key = settings.key
    if key and (unknown := [name for name in key if name not in there]):
        if "key" in own:
            problems += [missing("key", name) for name in unknown]
        key = ()
    key = key or tuple(name for name in table.key if name in there)
    if len(key) < len(table.key) and not settings.key:
        key = ()  # a part of a key tells nothing apart
    # a table that only links others has nothing to update
    only_links = settings.load_mode == "auto" and bool(key) and set(key) == there
    mode: ReplicaLoadMode = "replace" if only_links else settings.load_mode
    cursor = settings.cursor
    supported = _has(connector, "cursor")
    if cursor is not None:
        own_key = table.key if settings.load_mode == "cdc_mirror" else key  # that of an event is not that of its row
        reason = _no_cursor(cursor, there, own_key, mode, supported=supported, title=connector.name)
        if reason is not None:
            if "cursor" in own:
                problems.append(reason)
            else:
                notes.append(f"read whole: {reason.message[0].lower()}{reason.message[1:]}")
            cursor = None
    if mode == "auto":
        mode = "upsert" if key else "append" if cursor is not None else "replace"
    events = LOAD_MODES[mode].events
    operation = next((name for name in OPERATION_COLUMNS if name in there), None) if events else None
    if events:
        problems += _no_events(settings, table, operation, cursor)
    elif LOAD_MODES[mode].keyed:
        problems += _no_merge(mode, key, there)
    deletes = settings.deletes
    if deletes is not None and (reason := _no_deletes(deletes, mode, connector)) is not None:
        if "deletes" in own:
            problems.append(reason)
        else:
            notes.append(f"deletes are not noticed: {reason.message[0].lower()}{reason.message[1:]}")
        deletes = None
    if mode == "append" and cursor is None:
        notes.append("each run appends all rows once more: name a cursor, or use another loadMode")
    config: dict[str, Any] = {}
    if key and key != tuple(table.key) and not events and _has(connector, "key"):
        config["key"] = list(key)
    if cursor is not None:
        config["cursor"] = cursor.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Loading(mode, key, cursor, config, tuple(notes), tuple(problems), deletes, operation)


def _no_cursor(
    cursor: Cursor, there: set[str], key: tuple[str, ...], mode: str, *, supported: bool, title: str
) -> Problem | None:
    """Why a table cannot be read by a cursor."""
    if not supported:
        return Problem("cursor", "no_cursors", f"The connector {title} has no cursors", "remove it")
    if cursor.column not in there:
        return Problem("cursor", "missing_column", f"It has no column '{cursor.column}'", nearest(cursor.column, there))
    if mode != "auto" and LOAD_MODES[mode].full:
        message = f"With {mode} only the new rows would be left in the table"
        return Problem("cursor", "cursor_replaces", message, "use auto, upsert or append, or set the cursor to null")
    if not key and cursor.key is None:
        message = f"No key distinguishes rows with the same {cursor.column}"
        hint = "name one in cursor.key, or write [] if no two rows have the same value"
        return Problem("cursor.key", "no_key", message, hint)
    return None


def _no_events(
    settings: TableSettings, table: FoundTable, operation: str | None, cursor: Cursor | None
) -> Iterator[Problem]:
    """Why the rows of a table cannot be mirrored as change events."""
    if operation is None:
        message = "Its rows are not change events: it has no column 'op' or '__op' with the operation (c, u, d, r or t)"
        hint = "use upsert, with deletes where rows are deleted; cdc_mirror is for a table that changes are written to"
        yield Problem("loadMode", "no_operation", message, hint)
    elif not settings.key:
        message = "The key of an event is not the key of the row that it changes"
        yield Problem("key", "no_key", message, "name the columns that identify the changed rows in key")
    if not table.key and cursor is None:
        message = "Nothing says in which order its changes happened: it has no primary key and no cursor"
        yield Problem("cursor", "no_order", message, "name a cursor that grows with every event")


def _no_merge(mode: str, key: Sequence[str], there: set[str]) -> Iterator[Problem]:
    """Why rows cannot be merged by their key."""
    if not key:
        message = f"Its rows have no known key, which {mode} needs"
        yield Problem("loadMode", "no_key", message, "name the key in an override, or use another loadMode")
    elif set(key) == there:
        message = f"All of its columns are its key, so that {mode} has nothing to update"
        yield Problem("loadMode", "nothing_to_update", message, "use auto or replace")


def _no_deletes(deletes: SourceDeletes, mode: str, connector: Connector) -> Problem | None:
    """Why keys are not compared."""
    if LOAD_MODES[mode].full:
        return Problem("deletes", "deletes_anyway", f"With {mode} the table has what the source has", "remove it")
    allowed = DELETING.get(mode)
    if allowed is None:
        return Problem("deletes", "bad_option", f"{mode} compares no keys", "use upsert or scd2, or set it to null")
    if deletes.action not in (None, *allowed):
        message = f"The action '{deletes.action}' is not for {mode}"
        return Problem("deletes.action", "bad_option", message, f"use {' or '.join(allowed)}")
    if connector.keys is None:
        message = f"The keys of {connector.name} cannot be read alone"
        return Problem("deletes", "no_keys", message, "set it to null")
    return None


def _has(connector: Connector, setting: str) -> bool:
    return connector.settings is not None and setting in connector.settings.model_fields
