"""What a run of failed rows would do with them: the rows are read and go through the stages as in a replay, up to the
checks of the target. Nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import HasInbox
from headrace.connectors.source import REJECT_SCHEMA, ROW, Batch
from headrace.flows.compile import Stage, logical_plan, physical_plan
from headrace.flows.compile.logical_node import LogicalNode
from headrace.flows.compile.masking import masked_cells
from headrace.flows.compile.stages.stage import Load
from headrace.flows.dry_run.refusals import Targets
from headrace.flows.resume.replay import settled_rows
from headrace.flows.runtime.errors import PlanFailed, RunFailed
from headrace.flows.runtime.input.partition_input import SourceInput, cut_batch_at
from headrace.flows.runtime.input.sources import held_before, parsed, source_of
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.reference_tables import reference_tables
from headrace.flows.runtime.transform.rejected_cells import with_source_text
from headrace.flows.runtime.transform.segment_runner import Rejects
from headrace.flows.runtime.transform.stage_runner import run_batch
from headrace.ir import Problem
from headrace.ir.nodes import EnrichNode, SourceNode
from headrace.ir.secrets import document_credentials

_UNTRIED = "Types, lengths and missing values are checked as the table has them; its other constraints only by a run."
_VALUES = 3
_MAX_GROUPS = 200


@dataclass(frozen=True, slots=True)
class FailedGroup:
    """The rows that would fail at one node by one rule for one column (None: the whole row). `error` is the text of the
    first, `values` are up to three different ones."""

    node: str
    rule: str
    column: str | None
    rows: int
    error: str
    values: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class ReplayTrial:
    """`rows` would run again, of which `tried` were: `passed` reach a target and fail nowhere, `failed` fail somewhere,
    the others are left out by filters. `stops_run` is the failure reason if an `abort` rule would end the run."""

    rows: int
    tried: int
    passed: int
    failed: int
    groups: tuple[FailedGroup, ...]
    stops_run: str | None
    notes: tuple[str, ...]

    @property
    def skipped(self) -> int:
        """Rows that filters would leave out."""
        return self.tried - self.passed - self.failed


def try_replay(job: Job, *, rows: int) -> ReplayTrial:
    """Tries the first `rows` of the job's open rows. Raises PlanFailed with the reason why they cannot run again,
    SourceError or TargetError."""
    try:
        prepared = prepare(_with_files(job))
    except PlanFailed:
        raise
    except RunFailed as error:
        raise PlanFailed([Problem("", "not_replayable", str(error))]) from error
    try:  # copies that a source made for the failed run stay: a replay reads them
        return _tried(prepared, rows)
    finally:
        prepared.close()


def _with_files(job: Job) -> Job:
    """The job with the files that the failed run had claimed, wherever they are now."""
    sources = {node.id: source_of(node, job) for node in parsed(job).nodes if isinstance(node, SourceNode)}
    arrivals = {node: source.arrivals for node, source in sources.items() if isinstance(source, HasInbox)}
    found = {node: held_before(each, node, job) for node, each in arrivals.items()}
    return replace(job, held={node: files for node, files in found.items() if files is not None})


def _tried(prepared: Prepared, rows: int) -> ReplayTrial:
    job, ir = prepared.job, prepared.ir
    targets = Targets.of(job, ir)
    schemas = {node: found.schema for node, found in prepared.discoveries.items()}
    # without providers: a dry run asks nobody
    logical = logical_plan(
        ir,
        schemas,
        targets.columns,
        secrets=document_credentials(job.pipeline.connector.credentials),
        tables=reference_tables(job),
        views=prepared.views,
    )
    plan = physical_plan(ir, logical, prepared.discoveries, audits=False)
    count = _Count()
    for stage in plan.stages:
        for batch, partition in _batches(prepared, stage, rows - count.tried):
            count.add(stage, batch, settled_rows(stage.partitions[partition]), targets, logical.nodes)
            if count.stops_run is not None:
                break
    notes = [_UNTRIED, *(each.note for each in prepared.sources.values() if each.note)]
    if asking := [node.id for node in ir.nodes if isinstance(node, EnrichNode)]:
        notes.append(f"{', '.join(asking)}: a dry run asks no provider, so what they give is empty here")
    return ReplayTrial(
        rows=plan.total_rows,
        tried=count.tried,
        passed=count.passed,
        failed=count.failed,
        groups=_groups(count.cells),
        stops_run=count.stops_run,
        notes=tuple(notes),
    )


def _batches(prepared: Prepared, stage: Stage, most: int) -> Iterator[tuple[Batch, int]]:
    """The first `most` open rows of a stage, each batch with the position of its partition."""
    if stage.source is None:
        return
    source = prepared.sources[stage.source.id]
    for position, partition in enumerate(stage.partitions):
        begun = 0
        if most <= 0:
            return
        if not partition.rows:
            continue
        try:
            for batch in SourceInput(source, stage, partition).read(0, None):
                piece = next(cut_batch_at(batch, [begun + most]))
                begun = piece.rows_done
                most -= piece.rows
                yield piece, position
                if most <= 0:
                    return
        except SourceError as error:
            raise PlanFailed([Problem("nodes", error.code, error.message, error.hint)]) from error


@dataclass(slots=True)
class _Count:
    """What happened to the rows so far; `cells` are those that failed, with their node."""

    tried: int = 0
    passed: int = 0
    failed: int = 0
    stops_run: str | None = None
    cells: list[pl.DataFrame] = field(default_factory=list)

    def add(
        self,
        stage: Stage,
        batch: Batch,
        settled: Mapping[str, pl.Series],
        targets: Targets,
        nodes: Mapping[str, LogicalNode],
    ) -> None:
        """Runs a batch through a stage, as far as to the targets."""
        arrived = run_batch(stage, batch, [sink.id for sink in stage.sinks], settled)
        reached, failed = [pl.Series(ROW, [], pl.Int64)], [pl.Series(ROW, [], pl.Int64)]
        for sink in stage.sinks:
            rejects = list(arrived[sink.id].rejects)
            if isinstance(sink, Load):
                taken, refused = targets.split(nodes[sink.target.id], arrived[sink.id].frame)
                reached.append(taken.get_column(ROW))
                if refused is not None and refused.height:
                    rejects.append(Rejects(sink.target.id, refused, written=sink.cells))
            for found in rejects:
                if found.warning:
                    continue
                self.stops_run = self.stops_run or found.fatal
                failed.append(found.cells.select(found.rows_of_batch().alias(ROW)).to_series())
                cells = masked_cells(with_source_text(found, batch), nodes[found.node].private)
                self.cells.append(cells.select(*REJECT_SCHEMA).with_columns(pl.lit(found.node).alias("node")))
        bad = pl.concat(failed).unique()
        self.tried += batch.rows
        self.failed += bad.len()
        good = pl.concat(reached).unique()
        self.passed += good.filter(~good.is_in(bad.implode())).len()


def _groups(cells: list[pl.DataFrame]) -> tuple[FailedGroup, ...]:
    if not cells:
        return ()
    value = pl.col("value")
    found = (
        pl.concat(cells)
        .group_by("node", "rule", "column", maintain_order=True)
        .agg(pl.col("row").n_unique(), pl.col("error").first(), value.unique(maintain_order=True).head(_VALUES))
        .sort("row", descending=True, maintain_order=True)
        .head(_MAX_GROUPS)
    )
    return tuple(
        FailedGroup(each["node"], each["rule"], each["column"], each["row"], each["error"], tuple(each["value"]))
        for each in found.iter_rows(named=True)
    )
