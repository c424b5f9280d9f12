"""The first rows of a pipeline's sources as they pass from node to node. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from connectors.base import ROW, Discovery, Source, SourceError, no_rejects
from connectors.postgresql.server_cast import foreseen
from connectors.postgresql.tables import describe_table
from connectors.types import polars_dtype
from flows.compile import logical_plan
from flows.compile.branch import ROUTE, taking
from flows.compile.logical import LogicalNode
from flows.compile.private import masked_cells
from flows.compile.scope import first_line
from flows.compile.segment import fuse
from flows.compile.step import Step
from flows.plan import PlanFailed, columns, planned
from flows.runtime.job import Job
from flows.runtime.prepare import target_columns
from flows.runtime.references import ReferenceTables
from flows.runtime.sieve import Rejects, sieve
from flows.runtime.tally import Tally
from ir import PipelineIR, Problem
from ir.nodes import BranchNode, SourceNode, TargetNode
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One row behind a node: its number in the source and its values as JSON."""

    row: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreviewError:
    """One cell a node rejected; with `warning` the row goes on all the same. `column` is None for a whole row."""

    row: int
    column: str | None
    value: str | None
    error: str
    rule: str
    warning: bool


@dataclass(frozen=True, slots=True)
class NodePreview:
    """What a node made of the sample. rows_in = rows_out + failed + skipped, unless it makes other rows. `stops_run` is
    set when an `abort` rule failed: a run would end there."""

    node: str
    kind: str
    fields: Schema
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    rows: list[PreviewRow]
    errors: list[PreviewError]
    stops_run: str | None = None
    notes: tuple[str, ...] = ()
    """Where the preview shows something else than a run would give."""


@dataclass(slots=True)
class _Seen:
    frame: pl.DataFrame
    tally: Tally
    rejects: list[Rejects] = field(default_factory=list)


def preview(job: Job, *, rows: int) -> list[NodePreview]:
    """The nodes in the order rows pass them, on the first `rows` records of every source. Raises PlanFailed."""
    prepared = planned(job)
    tables = {
        node.id: describe_table(job.database_url, node.table)
        for node in prepared.ir.nodes
        if isinstance(node, TargetNode)
    }
    taken = {node: target_columns(table) for node, table in tables.items()}
    schemas = {node: found.schema for node, found in prepared.discoveries.items()}
    secrets = job.pipeline.connector.credentials
    logical = logical_plan(prepared.ir, schemas, taken, secrets=secrets, tables=ReferenceTables(job))
    seen: dict[str, pl.DataFrame] = {}
    previews: list[NodePreview] = []
    for node_id, compiled in logical.nodes.items():
        node = compiled.node
        if isinstance(node, SourceNode):
            frame, rejects = _sample(prepared.sources[node_id], prepared.discoveries[node_id], rows)
            found = _Seen(frame, Tally.of([node_id]), [Rejects(node_id, rejects)] if not rejects.is_empty() else [])
            rows_in = frame.height + rejects.get_column("row").n_unique()
        else:
            before = [seen[reference] for reference in node.inputs]
            found = _passed(compiled, before)
            rows_in = sum(frame.height for frame in before)
            if isinstance(node, TargetNode):
                wanted = [column for column in tables[node_id].columns if column.name in compiled.written]
                refused = foreseen(job.database_url, found.frame, wanted)
                if not refused.is_empty():
                    found.rejects.append(Rejects(node_id, refused))
                    found.frame = found.frame.filter(~pl.col(ROW).is_in(refused.get_column("row").implode()))
        if isinstance(node, BranchNode):
            found.frame = _parted(node, prepared.ir, found.frame, seen)
        seen[node_id] = found.frame
        previews.append(_shown(compiled, found, rows_in))
    return previews


def _sample(source: Source, discovery: Discovery, rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The readable ones of the first `rows` records, and what was wrong with the others."""
    schema = {each.name: polars_dtype(each) for each in discovery.schema} | {ROW: pl.Int64}
    frames, rejects, taken = [pl.DataFrame(schema=schema)], [no_rejects()], 0
    try:
        for partition in discovery.partitions:
            for batch in source.read(partition, discovery.schema):
                end = partition.first_row + batch.rows_done - batch.rows + rows - taken
                frames.append(batch.frame.filter(pl.col(ROW) < end).select(schema.keys()))
                rejects.append(batch.rejects.filter(pl.col("row") < end))
                taken += min(batch.rows, rows - taken)
                if taken >= rows:
                    return pl.concat(frames), pl.concat(rejects)
    except SourceError as error:
        raise PlanFailed([Problem("nodes", error.code, error.message, error.hint)]) from error
    return pl.concat(frames), pl.concat(rejects)


def _parted(node: BranchNode, ir: PipelineIR, frame: pl.DataFrame, seen: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Adds the rows of every route to `seen`; gives those that something reads."""
    read = {reference for each in ir.nodes for reference in each.inputs}
    kept = [position for position, route in enumerate(node.names) if f"{node.id}.{route}" in read]
    for position, route in enumerate(node.names):
        seen[f"{node.id}.{route}"] = taking(frame, position)
    return frame.filter(pl.col(ROUTE).is_in(kept)).drop(ROUTE)


def _passed(compiled: LogicalNode, before: Sequence[pl.DataFrame]) -> _Seen:
    """Through the steps of one node; what needs all rows is evaluated on those of the sample."""
    found = _Seen(before[0], Tally.of([compiled.node.id]))
    local: list[Step] = []
    for step in (*compiled.steps, None):
        if step is not None and step.gather is None:
            local.append(step)
            continue
        for segment in fuse(local):
            sieved = sieve(segment, found.frame, found.tally)
            found.frame = sieved.frame
            found.rejects += sieved.rejects
        local = []
        if step is not None and step.gather is not None:
            frames = before if len(step.gather.sides) > 1 else [found.frame]
            try:
                found.frame = step.gather.apply([frame.lazy() for frame in frames]).collect()
            except PolarsError as error:
                raise PlanFailed([Problem(step.path, "cannot_be_computed", first_line(error))]) from error
    return found


def _shown(compiled: LogicalNode, found: _Seen, rows_in: int) -> NodePreview:
    failed = {row for each in found.rejects if not each.warning for row in each.cells.get_column("row").to_list()}
    return NodePreview(
        node=compiled.node.id,
        kind=compiled.node.kind,
        fields=columns(compiled.schema),
        rows_in=rows_in,
        rows_out=found.frame.height,
        failed=len(failed),
        skipped=max(0, rows_in - found.frame.height - len(failed)) if _keeps_rows(compiled) else 0,
        rows=[_row(each) for each in found.frame.iter_rows(named=True)],
        errors=[
            PreviewError(**cell, warning=each.warning)
            for each in found.rejects
            for cell in masked_cells(each.cells, compiled.private).iter_rows(named=True)
        ],
        stops_run=next((each.fatal for each in found.rejects if each.fatal is not None), None),
        notes=compiled.notes,
    )


def _keeps_rows(compiled: LogicalNode) -> bool:
    """Whether a row that does not come out was left out: it has not become part of another."""
    return all(step.copies == 1 and (step.gather is None or step.gather.keeps_rows) for step in compiled.steps)


def _row(values: Mapping[str, Any]) -> PreviewRow:
    return PreviewRow(values[ROW], {name: _json(value) for name, value in values.items() if not name.startswith("__")})


def _json(value: Any) -> Any:
    """A value as JSON can have it: times in ISO 8601, decimals and bytes as text, what is no number as null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | timedelta():
            return str(value)
        case bytes():
            return value.hex()
        case list():
            return [_json(each) for each in value]
        case dict():
            return {key: _json(each) for key, each in value.items()}
    return value
