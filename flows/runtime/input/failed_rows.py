"""What a replay reads of the sources: the rows that failed, and no others."""

from __future__ import annotations

from dataclasses import replace

from headrace.connectors.source import Discovery, Restart, Source
from headrace.flows.resume.epoch import KEPT, kept_partitions
from headrace.flows.resume.replay import Replay, only_open_rows
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.originals import KeptRows
from headrace.flows.runtime.stored_plan import kept_in
from headrace.ir import PipelineIR
from headrace.ir.nodes import TargetNode, producer


def only_failed(node: str, found: Discovery, job: Job, ir: PipelineIR) -> Discovery:
    """The source's failed rows. A replay that is begun again has them in its stored partitions already."""
    if job.continues.open_rows is None:
        return found
    targets = {
        target.id: target.table
        for target in ir.nodes
        if isinstance(target, TargetNode) and _source_of(ir, target.id) == node
    }
    mine = {index: rows for (of, index), rows in job.continues.open_rows.items() if of == node}
    if job.continues.epoch is not None:
        kept = kept_partitions(mine)
        found = replace(found, partitions=kept, restart=Restart.BOUNDARY)
        mine = {each.index: mine[each.location[KEPT]] for each in kept}
    return only_open_rows(found, mine, targets)


def replaying(node: str, source: Source, found: Discovery, job: Job) -> Source:
    """The source's failed rows; the stored ones, if the source cannot read the same rows again."""
    left_out = _left_out(node, found, job)
    if found.restart is Restart.EXACT:
        return Replay(source, left_out=left_out)
    kept = KeptRows(source, kept_in(job), job.continues.origin_run_id or job.root_run_id, node)
    return Replay(kept, left_out=left_out, kept=True)


def _left_out(node: str, found: Discovery, job: Job) -> int:
    """How many of the source's failed rows have no way to a target in this version."""
    asked = job.continues.open_rows
    if asked is None:
        return 0
    return sum(len(left.rows) for (of, _), left in asked.items() if of == node) - found.total_rows


def _source_of(ir: PipelineIR, node: str) -> str:
    while inputs := ir.node(node).inputs:
        node = producer(inputs[0])
    return node
