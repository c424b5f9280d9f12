"""Checks a change of load mode: changes that cannot work, and changes that lose rows and must be confirmed.

Runs when a version of an IR goes live. It only makes cheap queries: the table's definition, whether it has rows,
whether there is a watermark, and which other pipelines load it. The tables of one database are asked for at once, so
that another process can do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.modes import MODES, LoadSpec
from headrace.connectors.postgresql.modes.merge_mode import MergeMode
from headrace.connectors.postgresql.tables.describe import Table, describe_table
from headrace.ir import PipelineIR, Problem
from headrace.ir.load_modes import LOAD_MODES
from headrace.ir.nodes import TargetNode

_CONFIRM = "repeat the request with ?confirm=true"


@dataclass(frozen=True, slots=True)
class ModeSwitch:
    """`refused` are errors; `losses` need confirmation. The paths of both are the nodes' loadMode."""

    refused: tuple[Problem, ...] = ()
    losses: tuple[Problem, ...] = ()

    def __add__(self, other: ModeSwitch) -> ModeSwitch:
        return ModeSwitch(self.refused + other.refused, self.losses + other.losses)


@dataclass(frozen=True, slots=True)
class ModeChange:
    """A target whose load mode is not that of the live version for its table (`earlier`; None: it is not loaded there),
    with the names of `others` that load the table, if the change would replace their rows."""

    path: str
    node: TargetNode
    earlier: str | None
    others: tuple[str, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether rows that are in the table are replaced from now on."""
        before = LOAD_MODES.get(self.earlier or "")
        return self.node.traits.full and not (before is not None and before.full)


def mode_changes(
    before: PipelineIR | None,
    after: PipelineIR,
    database_of: Callable[[TargetNode], object],
    loaded_by: Callable[[TargetNode], Sequence[str]],
) -> list[ModeChange]:
    """The changes between the live version (None: there is none) and another one. `database_of` tells the databases of
    targets apart (a connector has an id and a name), `loaded_by` returns the names of the other pipelines that load a
    target's table."""
    found = []
    for index, node in enumerate(after.nodes):
        if not isinstance(node, TargetNode) or node.connector is not None:
            continue
        if (earlier := _earlier(before, node, database_of)) != node.load_mode:
            change = ModeChange(f"nodes[{index}].loadMode", node, earlier)
            found.append(replace(change, others=tuple(loaded_by(node))) if change.replaces else change)
    return found


def mode_switch(database: Database, changes: Sequence[ModeChange], pipeline_id: str) -> ModeSwitch:
    """The effects of changes on the tables of one database. A table that does not exist is ignored: the run reports it.
    Raises psycopg.OperationalError, and TargetError for the database of a connector, when it cannot be reached."""
    refused: list[Problem] = []
    losses: list[Problem] = []
    with connect(database, autocommit=True, connect_timeout=5) as connection:
        for change in changes:
            try:
                table = describe_table(connection, change.node.table)
            except TargetError:
                continue
            refused += _impossible(change, table, database, pipeline_id)
            losses += _losses(change, table, connection, pipeline_id)
    return ModeSwitch(tuple(refused), tuple(losses))


def unknown_effects(changes: Sequence[ModeChange], why: str) -> ModeSwitch:
    """What is to be confirmed when the database could not be asked: every change that could lose or double rows."""
    text = f"whether rows are lost or doubled is not known, as the database could not be asked: {why}"
    risky = (change for change in changes if change.earlier is not None or change.replaces)
    return ModeSwitch(losses=tuple(_to_confirm(change, text) for change in risky))


def _earlier(before: PipelineIR | None, node: TargetNode, database_of: Callable[[TargetNode], object]) -> str | None:
    """The load mode of the live version for the table; None when it does not load it."""
    targets = [each for each in before.nodes if isinstance(each, TargetNode)] if before is not None else []
    place = (database_of(node), node.table)
    same = [each for each in targets if (database_of(each), each.table) == place]
    return next((each.load_mode for each in same if each.id == node.id), same[0].load_mode if same else None)


def _impossible(change: ModeChange, table: Table, database: Database, pipeline_id: str) -> Iterator[Problem]:
    node = change.node
    mode = MODES.get(node.load_mode)
    if mode is None or not issubclass(mode, MergeMode):
        return
    spec = LoadSpec(
        database_url=database,
        table=node.table,
        columns=tuple(name for name in table.names if name not in mode.filled),
        root_run_id="",
        run_id="",
        pipeline_id=pipeline_id,
        ir_version=0,
        target_node=node.id,
        upsert_key=node.upsert_key,
    )
    try:
        mode(spec).examine()
    except TargetError as error:
        yield Problem(change.path, error.code, error.message, error.hint)


def _losses(
    change: ModeChange, table: Table, connection: psycopg.Connection[Any], pipeline_id: str
) -> Iterator[Problem]:
    if (text := _loss(change, table, connection, pipeline_id)) is not None:
        yield _to_confirm(change, text)


def _to_confirm(change: ModeChange, text: str) -> Problem:
    what = f"from {change.earlier} to" if change.earlier is not None else "to"
    message = f"With the change {what} {change.node.load_mode}, {text}"
    return Problem(change.path, "confirmation_required", message, _CONFIRM)


def _loss(change: ModeChange, table: Table, connection: psycopg.Connection[Any], pipeline_id: str) -> str | None:
    if not _has_rows(connection, table):
        return None
    traits = change.node.traits
    if change.replaces:
        if change.others:
            names = ", ".join(f"'{name}'" for name in change.others[:3])
            return f"each run replaces all rows of {table.qualified}, those that {names} loaded too"
        return f"the next run replaces all rows that are in {table.qualified}"
    if change.earlier is None:
        return None
    if traits.strategy == "append" and not traits.watermark:
        return f"rows that are in {table.qualified} and come again are there twice, or refused by its keys"
    if traits.watermark and not _marked(connection, pipeline_id, change.node):
        return f"there is no watermark yet, so the next run loads into {table.qualified} what is in it already"
    if traits.history:
        return f"rows that are in {table.qualified} without is_current are not versions of the rows that come"
    return None


def _has_rows(connection: psycopg.Connection[Any], table: Table) -> bool:
    """Whether the table has rows; assumed when it is locked, because then it is being loaded."""
    try:
        connection.execute("SET lock_timeout = '1s'")
        exists = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(table.identifier)
        return connection.execute(exists).fetchone() == (True,)
    except psycopg.errors.LockNotAvailable:
        return True


def _marked(connection: psycopg.Connection[Any], pipeline_id: str, node: TargetNode) -> bool:
    if connection.execute("SELECT to_regclass('_headrace.watermarks') IS NULL").fetchone() == (True,):
        return False
    found = connection.execute(
        "SELECT EXISTS (SELECT FROM _headrace.watermarks WHERE pipeline_id = %s AND target_node = %s "
        "AND target_table = %s AND watermark_column = %s AND value IS NOT NULL)",
        (pipeline_id, node.id, node.table, node.watermark_column),
    ).fetchone()
    return found == (True,)
