"""Compares the keys of a target with those of its source: reads the keys alone, as rows are read and conformed, and
hands them to the database of the target."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.deletes import Compared, DeleteRule, KeyComparison
from headrace.connectors.postgresql.ledger.partitions import LedgerKey
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.registry import connectors
from headrace.connectors.source import Discovery, Source
from headrace.connectors.target import Resume
from headrace.flows.compile import Load, PhysicalPlan, TargetColumn, logical_plan, physical_plan
from headrace.flows.runtime.deletes.traced import TracedKey
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.input.sources import source_of
from headrace.flows.runtime.job import Job, close_sources, finish_copies
from headrace.flows.runtime.partition import Stopped
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.stage_runner import run_batch
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import SourceNode, TargetNode

DELETED, RETURNED = "deleted", "returned"
"""The counters of a target for rows that were taken, and for marks that were taken back."""

_DONE = {"remove": "removed", "close": "closed", "mark": "marked as deleted"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """The comparison of one target. `columns` are the key columns of its table."""

    job: Job
    ir: PipelineIR
    load: Load
    traced: TracedKey
    columns: Sequence[TargetColumn]
    spec: LoadSpec

    @property
    def rule(self) -> DeleteRule:
        """What becomes of the rows."""
        target, source = self.load.target, self.traced.source
        assert target.deletes is not None
        assert target.delete_action is not None
        return DeleteRule(
            target.delete_action,
            str(source.config.get("table") or source.config.get("collection") or f"the query of '{source.id}'"),
            self.load.root if target.deletes.scope == "pipeline" else None,
            target.deletes.max_share,
            target.deletes.column,
        )

    @property
    def note(self) -> str:
        """What the run will do, for the plan and the log."""
        rule = self.rule
        of = "the rows that this pipeline loaded" if rule.source_node else "the rows of the table"
        return (
            f"{self.load.target.table}: rows whose key {rule.source} has no more are {_DONE[rule.action]}, at most "
            f"{rule.max_share:.0%} of {of}"
        )

    def preview(self) -> str:
        """The SQL that it will run, for people."""
        return self.in_database("", 0).preview()

    def in_database(self, load_key: str, index: int) -> KeyComparison:
        """As the database does it; `index` is after those of the target's publications."""
        key = LedgerKey(load_key, self.load.target.id, self.load.stage, index, kind="comparison")
        return KeyComparison(self.spec, key, self.rule)

    def run(self, load_key: str, index: int, recorder: RunRecorder, stop: threading.Event) -> Resume:
        """Compares, once, whoever asks how often; gives the committed counts: no rows but what was taken. Raises
        SourceError, TargetError and Stopped."""
        target, table = self.load.target.id, self.load.target.table
        number = -1 - self.load.number

        def on_compared(found: Compared) -> Resume:
            done, rule = _DONE[self.rule.action], self.rule
            back = f", {found.returned:,} are there again" if found.returned else ""
            recorder.log(
                "load",
                f"{table}: {found.gone:,} of {found.rows:,} rows {done}, whose key {rule.source} has no more "
                f"({found.keys:,} keys compared){back}",
            )
            counts = RowCounts.of([target])
            counts.add(target, **{DELETED: found.gone, RETURNED: found.returned})
            return Resume(counters=counts.nodes, finished=True)

        recorder.progress(number, index, "running", Resume())
        try:
            done = self._compared(self.in_database(load_key, index), on_compared, stop)
        except BaseException:
            recorder.progress(number, index, "failed", Resume())
            raise
        recorder.progress(number, index, "completed", done)
        return done

    def _compared(
        self, comparison: KeyComparison, on_compared: Callable[[Compared], Resume], stop: threading.Event
    ) -> Resume:
        """Begins again where the source was lost in the middle and cannot be read on."""
        retry = self.spec.retry
        for attempt in range(1, retry.attempts + 1):
            try:
                return comparison.compare(lambda: self._keys(stop), on_compared)
            except SourceError as error:
                if error.code != "connection_lost" or attempt == retry.attempts:
                    raise
            time.sleep(retry.pause(attempt))
        raise AssertionError("attempts is at least 1")

    def _keys(self, stop: threading.Event) -> Iterator[pl.DataFrame]:
        """All keys that the source has now, as the table has them; a key that cannot be read is none of its."""
        node = self._reading()
        source = source_of(node, self.job)
        try:
            plan = self._plan(node, source.discover(max_partitions=1))
            for stage in plan.stages:
                for partition in stage.partitions:
                    for batch in source.read(partition, stage.schema, wanted=stage.wanted):
                        if stop.is_set():
                            raise Stopped("Another part of the run failed, or it was cancelled")
                        yield run_batch(stage, batch, [self.load.id])[self.load.id].frame
        finally:
            kept: Mapping[str, Source] = {node.id: source}
            finish_copies(kept)
            close_sources(kept)

    def _reading(self) -> SourceNode:
        """The source as it is read for its keys."""
        node = self.traced.source
        names = list(dict.fromkeys(self.traced.columns.values()))
        reads = connectors()[node.connector].keys
        assert reads is not None
        declared = tuple(each for each in node.fields or () if each.name in names)
        return node.model_copy(update={"config": dict(reads(node.config, names)), "fields": declared or None})

    def _plan(self, node: SourceNode, found: Discovery) -> PhysicalPlan:
        """A plan that brings the keys into the form that the rows were loaded in."""
        target = TargetNode.model_validate(
            {
                "id": self.load.target.id,
                "kind": "target",
                "input": node.id,
                "schema": self.load.target.target_schema,
                "connection": self.load.target.connection,
                "mapping": dict(self.traced.columns),
            }
        )
        ir = self.ir.model_copy(update={"nodes": (node, target)})
        logical = logical_plan(ir, {node.id: found.schema}, {target.id: self.columns})
        if logical.problems:
            raise PlanFailed(list(logical.problems))
        return physical_plan(ir, logical, {node.id: found}, parallelism=1, audits=False)


def comparisons_of(
    job: Job,
    ir: PipelineIR,
    loads: Sequence[Load],
    traced: Mapping[str, TracedKey],
    tables: Mapping[str, Sequence[TargetColumn]],
    specs: Mapping[str, LoadSpec],
) -> dict[str, Comparison]:
    """By target, for those that notice deletes; none in a run of failed rows alone. `tables` are the columns of the
    targets' tables."""
    if job.continues.replays:
        return {}
    found = {}
    for load in loads:
        if (name := load.target.id) in traced and name in specs:
            key = [each for each in tables[name] if each.field.name in load.target.upsert_key]
            columns = [replace(each, required=False) for each in key]
            found[name] = Comparison(job, ir, load, traced[name], columns, specs[name])
    return found


def unmarkable(ir: PipelineIR, found: Mapping[str, Comparison]) -> Iterator[Problem]:
    """Tables without the column that deletes are to be marked in, said where the document names it. Looks at them."""
    for position, node in enumerate(ir.nodes):
        if node.id in found:
            try:
                found[node.id].in_database("", 0).examine()
            except TargetError as error:
                yield Problem(f"nodes[{position}].deletes.column", error.code, error.message, error.hint)
