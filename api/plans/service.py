"""What can be asked of a run that does not happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from api.connectors.service import in_the_clear
from api.context import RequestContext
from api.errors import ApiError, invalid
from api.pipelines.deployment import Runnable, runnable
from api.pipelines.service import owned_pipeline
from api.plans.schemas import (
    Plan,
    PlannedPartition,
    PlannedSink,
    PlannedStage,
    PlanRequest,
    Preview,
    PreviewedNode,
    PreviewRequest,
    SqlItem,
    SqlPreview,
    TableChangeItem,
)
from catalog.errors import NoIr, PipelineMissing
from catalog.run_records import RunPipeline
from connectors.base import SourceError
from flows.plan import PlanFailed, plan_run, preview_job
from flows.preview import preview
from flows.runtime.job import Job
from ir.problems import Problem, nearest


def plan(context: RequestContext, pipeline_id: str, body: PlanRequest) -> Plan:
    """What a run would do; 404, 422 with every problem for a pipeline that cannot run."""
    with _planning(context, pipeline_id, body) as (chosen, job):
        found = plan_run(job)
    return Plan(
        ir_version=_shown(chosen),
        load_strategy=chosen.load_strategy,
        estimated_rows=found.estimated_rows,
        parallelism=found.parallelism,
        stages=[_stage(stage) for stage in found.stages],
        sql=[SqlItem.model_validate(target) for target in found.targets],
        ddl=[TableChangeItem.model_validate(change) for change in found.changes],
        notes=found.notes,
    )


def sql_preview(context: RequestContext, pipeline_id: str, version: int | None) -> SqlPreview:
    """The SQL per target; as `plan` raises."""
    with _planning(context, pipeline_id, PlanRequest(irVersion=version)) as (chosen, job):
        found = plan_run(job)
    return SqlPreview(ir_version=_shown(chosen), targets=[SqlItem.model_validate(target) for target in found.targets])


def preview_rows(context: RequestContext, pipeline_id: str, body: PreviewRequest) -> Preview:
    """The first records node by node; as `plan` raises, and 400 for a node there is not."""
    with _planning(context, pipeline_id, body) as (chosen, job):
        ids = [node.id for node in chosen.ir.nodes]
        if body.node is not None and body.node not in ids:
            message = f"The pipeline has no node '{body.node}'"
            raise invalid("node", "unknown_node", message, nearest(body.node, ids))
        nodes = preview(job, rows=body.limit)
    shown = [PreviewedNode.model_validate(node) for node in nodes if body.node in (None, node.node)]
    return Preview(ir_version=_shown(chosen), limit=body.limit, nodes=shown)


@contextmanager
def _planning(context: RequestContext, pipeline_id: str, body: PlanRequest) -> Iterator[tuple[Runnable, Job]]:
    """The version to plan as a job; what stands in its way becomes a 422."""
    with context.catalog() as catalog:
        chosen = runnable(catalog, owned_pipeline(catalog, pipeline_id), body.ir_version)
    settings = context.services.settings
    try:
        pipeline = _with_blocks(context, context.store.load_pipeline(pipeline_id, chosen.version))
        job = preview_job(
            pipeline,
            database_url=settings.database_url,
            files_root=settings.files_root,
            parameters=dict(body.parameters),
        )
        yield chosen, job
    except PlanFailed as failure:
        raise ApiError(422, "The pipeline cannot run", details=failure.problems) from failure
    except (NoIr, PipelineMissing) as error:  # deleted meanwhile
        raise ApiError(404, "There is no such pipeline") from error


def _with_blocks(context: RequestContext, pipeline: RunPipeline) -> RunPipeline:
    connector = pipeline.connector
    try:
        credentials = in_the_clear(context, connector.credentials)
    except SourceError as error:
        raise PlanFailed([Problem("connector.authConfig", error.code, error.message, error.hint)]) from error
    return replace(pipeline, connector=replace(connector, credentials=credentials))


def _shown(chosen: Runnable) -> int | None:
    """The version's number; none for legacy nodes and edges."""
    return chosen.version if chosen.version > 0 else None


def _stage(stage: Mapping[str, Any]) -> PlannedStage:
    known = {"index", "firstRow", "rows"}
    partitions = [
        PlannedPartition(
            index=each["index"],
            first_row=each["firstRow"],
            rows=each["rows"],
            location={key: value for key, value in each.items() if key not in known},
        )
        for each in stage["partitions"]
    ]
    sinks = [_sink(sink) for sink in stage.get("sinks", ())]
    target = stage.get("target", {})
    root = stage.get("source") or stage.get("gathers") or {}
    if not sinks:
        sinks = [_sink({"path": stage["nodes"], "target": target})]
    return PlannedStage(
        name=stage["name"],
        rows=sum(partition.rows for partition in partitions),
        after=stage.get("after", []),
        gathers=stage.get("gathers", {}).get("what"),
        unread=root.get("unread", []),
        where=root.get("where", []),
        steps=[step for segment in stage["segments"] for step in segment],
        queries=stage["segments"],
        table=target.get("table"),
        load_mode=target.get("loadMode"),
        columns=target.get("columns", []),
        sinks=sinks,
        partitions=partitions,
    )


def _sink(sink: Mapping[str, Any]) -> PlannedSink:
    target = sink.get("target", {})
    return PlannedSink(
        path=sink["path"],
        table=target.get("table"),
        load_mode=target.get("loadMode"),
        columns=target.get("columns", sink.get("columns", [])),
        sends=sink.get("sends"),
    )
