"""Checks a change of load mode: changes that cannot work, and changes that lose rows and must be confirmed.

Runs when a version of an IR goes live. It only makes cheap queries: the table's definition, whether it has rows,
whether there is a watermark, and which other pipelines load it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
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


def mode_switch(
    before: PipelineIR | None,
    after: PipelineIR,
    *,
    pipeline_id: str,
    database_url: str,
    loaded_by: Callable[[str], Sequence[str]],
) -> ModeSwitch:
    """Compares a version with the live one (None: there is none). `loaded_by` returns the names of the other pipelines
    that load a table. Missing tables and an unreachable database are ignored here; the run reports them."""
    changed = [
        (f"nodes[{index}].loadMode", node, earlier)
        for index, node in enumerate(after.nodes)
        if isinstance(node, TargetNode)
        and node.connection is None
        and (earlier := _earlier(before, node)) != node.load_mode
    ]
    refused: list[Problem] = []
    losses: list[Problem] = []
    if changed:
        try:
            with connect(database_url, autocommit=True, connect_timeout=5) as connection:
                for path, node, earlier in changed:
                    try:
                        table = describe_table(connection, node.table)
                    except TargetError:
                        continue
                    refused += _impossible(path, node, table, database_url, pipeline_id)
                    switch = _Switch(path, node, earlier, table, loaded_by)
                    losses += _losses(switch, connection, pipeline_id)
        except psycopg.OperationalError:
            return ModeSwitch()
    return ModeSwitch(tuple(refused), tuple(losses))


@dataclass(frozen=True, slots=True)
class _Switch:
    path: str
    node: TargetNode
    earlier: str | None
    table: Table
    loaded_by: Callable[[str], Sequence[str]]


def _earlier(before: PipelineIR | None, node: TargetNode) -> str | None:
    """The load mode of the live version for the table; None when it does not load it."""
    targets = [each for each in before.nodes if isinstance(each, TargetNode)] if before is not None else []
    same = [each for each in targets if (each.connection, each.table) == (node.connection, node.table)]
    return next((each.load_mode for each in same if each.id == node.id), same[0].load_mode if same else None)


def _impossible(path: str, node: TargetNode, table: Table, database_url: str, pipeline_id: str) -> Iterator[Problem]:
    mode = MODES.get(node.load_mode)
    if mode is None or not issubclass(mode, MergeMode):
        return
    spec = LoadSpec(
        database_url=database_url,
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
        yield Problem(path, error.code, error.message, error.hint)


def _losses(switch: _Switch, connection: psycopg.Connection[Any], pipeline_id: str) -> Iterator[Problem]:
    if (text := _loss(switch, connection, pipeline_id)) is not None:
        change = f"from {switch.earlier} to" if switch.earlier is not None else "to"
        message = f"With the change {change} {switch.node.load_mode}, {text}"
        yield Problem(switch.path, "confirmation_required", message, _CONFIRM)


def _loss(switch: _Switch, connection: psycopg.Connection[Any], pipeline_id: str) -> str | None:
    table = switch.table
    if not _has_rows(connection, table):
        return None
    traits, earlier = switch.node.traits, LOAD_MODES.get(switch.earlier or "")
    if traits.full and not (earlier is not None and earlier.full):
        if others := switch.loaded_by(switch.node.table):
            names = ", ".join(f"'{name}'" for name in others[:3])
            return f"each run replaces all rows of {table.qualified}, those that {names} loaded too"
        return f"the next run replaces all rows that are in {table.qualified}"
    if switch.earlier is None:
        return None
    if traits.strategy == "append" and not traits.watermark:
        return f"rows that are in {table.qualified} and come again are there twice, or refused by its keys"
    if traits.watermark and not _marked(connection, pipeline_id, switch.node):
        return f"there is no watermark yet, so the next run loads into {table.qualified} what is in it already"
    if traits.history:
        return f"rows that are in {table.qualified} without is_current are no versions of the rows that come"
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
