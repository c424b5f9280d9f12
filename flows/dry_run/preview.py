"""Preview: runs the first rows of a pipeline's sources through its nodes. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.source import ROW, Batch, Discovery, Source, Wanted, no_rejects, reserved
from headrace.flows.compile import logical_plan
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.masking import masked_cells
from headrace.flows.compile.nodes.branch import ROUTE, taking
from headrace.flows.compile.scope import first_line
from headrace.flows.compile.source_cells import with_source_cells
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.compile.step import Step
from headrace.flows.dry_run.join_sample import (
    DEEP_SAMPLE_ROWS,
    MatchingRows,
    deep_sample_sources,
    matching_rows,
    only_matching,
    right_side,
    run_path,
    sample_order,
)
from headrace.flows.dry_run.plan import PlanFailed, columns, planned
from headrace.flows.dry_run.refusals import Targets
from headrace.flows.dry_run.shown_rows import PreviewRow, shown_rows
from headrace.flows.runtime.job import Job, Prepared, finish_copies
from headrace.flows.runtime.memory.current_node import working_on
from headrace.flows.runtime.reference_tables import reference_tables
from headrace.flows.runtime.transform.rejected_cells import with_source_text
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.segment_runner import Rejects, run_segment
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import AnyNode, BranchNode, JoinNode, SourceNode, producer
from headrace.ir.schema import Schema
from headrace.ir.secrets import document_credentials

MOST_ROWS = 500
"""The maximum number of rows shown of a node whose output is larger than the sample."""


@dataclass(frozen=True, slots=True)
class PreviewError:
    """One cell that a node rejected; with `warning`, the row passes. `column` is None for a whole row."""

    row: int
    column: str | None
    value: str | None
    error: str
    rule: str
    warning: bool


@dataclass(frozen=True, slots=True)
class NodePreview:
    """The output of a node for the sample. rows_in = rows_out + failed + skipped, unless the node changes the number of
    rows. `stops_run` is the failure reason when an `abort` rule failed: a run would fail there."""

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
    """Differences between the preview and a run."""
    frame: pl.DataFrame | None = None
    """The rows with their polars types and their number in the source as `_row`; only with `frames=True`."""


@dataclass(slots=True)
class _NodeRows:
    frame: pl.DataFrame
    row_counts: RowCounts
    rejects: list[Rejects] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def preview(
    job: Job, *, rows: int, frames: bool = False, found: Callable[[Mapping[str, Discovery]], None] | None = None
) -> list[NodePreview]:
    """Previews every node with the first `rows` records of every source, in topological order. `found` as in
    `prepare`. Raises PlanFailed."""
    prepared = planned(job, found)
    try:
        return _previews(job, prepared, rows, frames=frames)
    finally:
        finish_copies(prepared.sources)
        prepared.close()


def _previews(job: Job, prepared: Prepared, rows: int, *, frames: bool) -> list[NodePreview]:
    targets = Targets.of(job, prepared.ir)
    schemas = {node: found.schema for node, found in prepared.discoveries.items()}
    secrets = document_credentials(job.pipeline.connector.credentials)
    logical = logical_plan(
        prepared.ir,
        schemas,
        targets.columns,
        secrets=secrets,
        tables=reference_tables(job),
        views=prepared.views,
        assumed=not job.database_url,
    )
    looking = _Samples(prepared, with_source_cells(logical.nodes), rows)
    previews: dict[str, NodePreview] = {}
    seen = looking.seen
    for node_id in sample_order(prepared.ir, logical.nodes):
        working_on(node_id)
        compiled = looking.nodes[node_id]
        node = compiled.node
        if isinstance(node, SourceNode):
            found, rows_in = looking.source(node_id)
        else:
            before, notes = looking.before(compiled)
            found = _run_steps(compiled, before)
            found.notes += notes
            rows_in = sum(frame.height for frame in before)
            found.frame, refused = targets.split(compiled, found.frame)
            if refused is not None and refused.height:
                found.rejects.append(Rejects(node_id, refused, written=compiled.cells))
        if isinstance(node, BranchNode):
            found.frame = _split_routes(node, prepared.ir, found.frame, seen)
        if (sample := looking.sample_of(node)) is not None:
            for each in found.rejects:
                each.cells = with_source_text(each, sample)
        seen[node_id] = found.frame
        shown = _node_preview(compiled, found, rows_in, rows)
        previews[node_id] = replace(shown, frame=_plain(found.frame.head(max(rows, MOST_ROWS)))) if frames else shown
    return [previews[node_id] for node_id in logical.nodes]


class _Samples:
    """The input rows of every node: the first rows of sources, and for the right side of a join the rows that match its
    left side."""

    def __init__(self, prepared: Prepared, nodes: Mapping[str, LogicalNode], rows: int) -> None:
        self.seen: dict[str, pl.DataFrame] = {}
        self.samples: dict[str, Batch] = {}
        self.nodes = nodes
        self._prepared, self._rows = prepared, rows
        self._deeper = deep_sample_sources(prepared.ir, nodes)
        joins = [node for node in prepared.ir.nodes if isinstance(node, JoinNode) and node.id in nodes]
        self._sides = {join.id: side for join in joins if (side := right_side(prepared.ir, nodes, join)) is not None}
        self._joins = {side.source: join for join, side in self._sides.items() if side.own}

    def source(self, node: str) -> tuple[_NodeRows, int]:
        """The sample of a source, and the number of rows in it including those that cannot be read."""
        source, discovery = self._prepared.sources[node], self._prepared.discoveries[node]
        join = self._joins.get(node)
        if join is not None:
            found = self._mates(join, self._left_of(join))
            notes = [f"only rows that the left side of '{join}' meets", *([found.note] if found.note else [])]
            return _NodeRows(found.frame, RowCounts.of([node]), notes=tuple(notes)), found.frame.height
        self.samples[node] = _sample(source, discovery, DEEP_SAMPLE_ROWS if node in self._deeper else self._rows)
        frame, rejects = self.samples[node].frame, self.samples[node].rejects
        failed = [Rejects(node, rejects)] if not rejects.is_empty() else []
        return _NodeRows(frame, RowCounts.of([node]), failed), frame.height + rejects.get_column("row").n_unique()

    def sample_of(self, node: AnyNode) -> Batch | None:
        """The sample that a node's rows come from, if they all come from one source; else None."""
        while len(node.inputs) == 1:
            node = self.nodes[producer(node.inputs[0])].node
        return self.samples.get(node.id)

    def before(self, compiled: LogicalNode) -> tuple[list[pl.DataFrame], tuple[str, ...]]:
        """The input frames of a node, and notes about them."""
        frames = [self.seen[reference] for reference in compiled.node.inputs]
        shuffle = compiled.steps[0].shuffle if isinstance(compiled.node, JoinNode) else None
        if shuffle is None:
            return frames, ()
        notes: list[str] = []
        side = self._sides.get(compiled.node.id)
        if side is not None and not side.own:  # other nodes read its first rows
            found = self._mates(compiled.node.id, frames[0])
            frames[1] = run_path(self.nodes, side.path, found.frame)[0]
            notes += [found.note] if found.note else []
        elif side is None:
            notes.append(
                f"of the right side, what is made of the first {DEEP_SAMPLE_ROWS:,} rows of each source of its own"
            )
        if isinstance(compiled.node, JoinNode) and compiled.node.type == "full":
            notes.append("rows that only the right side has are left out")
        return only_matching(frames, shuffle.sides), tuple(notes)

    def _left_of(self, join: str) -> pl.DataFrame:
        return self.seen[self.nodes[join].node.inputs[0]]

    def _mates(self, join: str, left: pl.DataFrame) -> MatchingRows:
        side, shuffle = self._sides[join], self.nodes[join].steps[0].shuffle
        assert shuffle is not None, "a join gathers"
        source, discovery = self._prepared.sources[side.source], self._prepared.discoveries[side.source]
        try:
            return matching_rows(self.nodes, side, shuffle.sides, left, source, discovery)
        except SourceError as error:
            raise PlanFailed([Problem("nodes", error.code, error.message, error.hint)]) from error


def _sample(source: Source, discovery: Discovery, rows: int) -> Batch:
    """The first `rows` records of a source. Raises PlanFailed."""
    schema = {each.name: polars_dtype(each) for each in discovery.schema} | {ROW: pl.Int64}
    frames, rejects, taken = [pl.DataFrame(schema=schema)], [no_rejects()], 0
    texts: list[Callable[[Collection[str], pl.Series], pl.DataFrame]] = []

    def cells(columns: Collection[str], rows: pl.Series) -> pl.DataFrame:
        nothing = pl.DataFrame(schema={ROW: pl.Int64})
        return pl.concat([nothing, *(each(columns, rows) for each in texts)], how="diagonal")

    def sample() -> Batch:
        return Batch(pl.concat(frames), taken, taken, pl.concat(rejects), cells=cells if texts else None)

    wanted = Wanted(frozenset(each.name for each in discovery.schema), batch_rows=rows)
    try:
        for partition in discovery.partitions:
            for batch in source.read(partition, discovery.schema, wanted=wanted):
                end = partition.first_row + batch.rows_done - batch.rows + rows - taken
                frames.append(batch.frame.filter(pl.col(ROW) < end).select(schema.keys()))
                rejects.append(batch.rejects.filter(pl.col("row") < end))
                texts += [batch.cells] if batch.cells is not None and rows <= MOST_ROWS else []
                taken += min(batch.rows, rows - taken)
                if taken >= rows:
                    return sample()
    except SourceError as error:
        raise PlanFailed([Problem("nodes", error.code, error.message, error.hint)]) from error
    return sample()


def _split_routes(node: BranchNode, ir: PipelineIR, frame: pl.DataFrame, seen: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """Adds the rows of every route to `seen`, and returns the rows of the routes that other nodes read."""
    read = {reference for each in ir.nodes for reference in each.inputs}
    kept = [position for position, route in enumerate(node.names) if f"{node.id}.{route}" in read]
    for position, route in enumerate(node.names):
        seen[f"{node.id}.{route}"] = taking(frame, position)
    return frame.filter(pl.col(ROUTE).is_in(kept)).drop(ROUTE)


def _run_steps(compiled: LogicalNode, before: Sequence[pl.DataFrame]) -> _NodeRows:
    """Runs the steps of one node; steps that need all rows are evaluated on the sample."""
    found = _NodeRows(before[0], RowCounts.of([compiled.node.id]))
    local: list[Step] = []
    for step in (*compiled.steps, None):
        if step is not None and step.shuffle is None:
            local.append(step)
            continue
        for segment in fuse(local):
            passed = run_segment(segment, found.frame, found.row_counts)
            found.frame = passed.frame
            found.rejects += passed.rejects
        local = []
        if step is not None and step.shuffle is not None:
            frames = before if len(step.shuffle.sides) > 1 else [found.frame]
            try:
                found.frame = step.shuffle.apply([frame.lazy() for frame in frames]).collect()
            except PolarsError as error:
                raise PlanFailed([Problem(step.path, "cannot_be_computed", first_line(error))]) from error
    return found


def _node_preview(compiled: LogicalNode, found: _NodeRows, rows_in: int, limit: int) -> NodePreview:
    failed = {row for each in found.rejects if not each.warning for row in each.cells.get_column("row").to_list()}
    return NodePreview(
        node=compiled.node.id,
        kind=compiled.node.kind,
        fields=columns(compiled.schema),
        rows_in=rows_in,
        rows_out=found.frame.height,
        failed=len(failed),
        skipped=max(0, rows_in - found.frame.height - len(failed)) if _keeps_rows(compiled) else 0,
        rows=shown_rows(found.frame.head(max(limit, MOST_ROWS))),
        errors=[
            PreviewError(**cell, warning=each.warning)
            for each in found.rejects
            for cell in masked_cells(each.cells, compiled.private).iter_rows(named=True)
        ],
        stops_run=next((each.fatal for each in found.rejects if each.fatal is not None), None),
        notes=(*compiled.notes, *found.notes),
    )


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    names = [name for name in frame.columns if not reserved(name)]
    return frame.select(pl.col(ROW).alias("_row"), *names)


def _keeps_rows(compiled: LogicalNode) -> bool:
    """Whether a row that is not in the output was skipped, and not combined with other rows."""
    return all(step.copies == 1 and (step.shuffle is None or step.shuffle.keeps_rows) for step in compiled.steps)
