"""Opens the sources of a run and finds out what they are, and whether they are still what they were. Reads no rows."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import HasInbox
from headrace.connectors.source import Describing, Discovery, Source
from headrace.flows.runtime.cursors import begin_at_cursors
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execution_config import ExecutionConfig
from headrace.flows.runtime.input.sources import held_before, parsed, source_of
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.stored_plan import as_found, check_unchanged, keep_copies
from headrace.ir import PipelineIR
from headrace.ir.nodes import SourceNode


def open_sources(job: Job, ir: PipelineIR) -> dict[str, Source]:
    """The sources by node, not looked at yet. Raises SourceError."""
    return {node.id: source_of(node, job) for node in ir.nodes if isinstance(node, SourceNode)}


def inspected(job: Job, ir: PipelineIR, sources: Mapping[str, Source], *, under_way: bool) -> Mapping[str, Discovery]:
    """What the sources are, from the cursors on. Raises PlanFailed, SourceError or TargetError."""
    if job.database_url:
        begin_at_cursors(job, ir, sources)
    if not under_way and job.continues.plan is not None:
        keep_copies(sources, job.continues.plan)
    partitions = ExecutionConfig.of(job.pipeline.execution_config).partitions
    return {
        node: as_found(node, source, job) if under_way else _found(source, job, partitions)
        for node, source in sources.items()
    }


def _found(source: Source, job: Job, partitions: int) -> Discovery:
    """The discovery of a source. One whose server does the work of a read for it describes its columns alone:
    partitions are those of the plan that is continued, or follow when it is known what the plan uses."""
    if isinstance(source, Describing) and (job.continues.plan is not None or not job.continues.replays):
        return source.described(max_partitions=partitions)
    return source.discover(max_partitions=partitions)


def check_sources(job: Job) -> None:
    """Raises RunFailed if a source has changed since the continued plan, or if its files were moved to the failure
    folder because they cannot be read. Reads no rows."""
    earlier = job.continues.plan
    for node in parsed(job).nodes:
        if isinstance(node, SourceNode):
            try:
                source = source_of(node, job)
                if isinstance(source, HasInbox) and (held := held_before(source.arrivals, node.id, job)) is not None:
                    source.hold(held)
                if earlier is not None:
                    check_unchanged(node.id, source.fingerprint(), earlier)
            except SourceError as error:
                raise RunFailed(str(error)) from None
