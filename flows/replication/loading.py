"""Chooses how one table is loaded: its mode, its key and its cursor, from the settings and the table's definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.connectors.connector import Connector
from headrace.flows.replication.found import FoundColumn, FoundTable
from headrace.ir.load_modes import LOAD_MODES
from headrace.ir.problems import Problem, nearest
from headrace.ir.replication.settings import Cursor, Settled


@dataclass(frozen=True, slots=True)
class Loading:
    """`key` are columns of the source. `config` is what the source is given for it; `notes` are for people."""

    mode: str
    key: tuple[str, ...]
    cursor: Cursor | None
    config: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

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
        key = ()  # a part of a key does not identify a row
    mode = settings.load_mode
    cursor = settings.cursor
    supported = _has(connector, "cursor")
    if cursor is not None:
        reason = _no_cursor(cursor, there, key, mode, supported=supported, title=connector.name)
        if reason is not None:
            if "cursor" in own:
                problems.append(reason)
            else:
                notes.append(f"read whole: {reason.message[0].lower()}{reason.message[1:]}")
            cursor = None
    if mode == "auto":
        mode = "upsert" if key else "append" if cursor is not None else "replace"
    if LOAD_MODES[mode].keyed and not key:
        message = f"Its rows have no known key, which {mode} needs"
        problems.append(Problem("loadMode", "no_key", message, "name the key in an override, or use another loadMode"))
    if mode == "append" and cursor is None:
        notes.append("each run appends all rows once more: name a cursor, or use another loadMode")
    config: dict[str, Any] = {}
    if key and key != tuple(table.key) and _has(connector, "key"):
        config["key"] = list(key)
    if cursor is not None:
        config["cursor"] = cursor.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Loading(mode, key, cursor, config, tuple(notes), tuple(problems))


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


def _has(connector: Connector, setting: str) -> bool:
    return connector.settings is not None and setting in connector.settings.model_fields
