"""Reads the quarantined rows of a validate node of a run."""

from __future__ import annotations

from typing import Any

from headrace.api.context import RequestContext
from headrace.api.databases import ask, databases_at
from headrace.api.dlq.schemas import QuarantinedRow, QuarantinePage
from headrace.api.errors import ApiError, not_found
from headrace.api.pipelines.deployment import runnable
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.runs.service import watch
from headrace.catalog.runs.records import RunSnapshot
from headrace.connectors.errors import TargetError
from headrace.ir import PipelineIR
from headrace.ir.nodes import ValidateNode


def read_rows(
    context: RequestContext, run_id: str, pipeline_id: str | None, node: str | None, limit: int
) -> QuarantinePage:
    """The rows of a node that are in quarantine now. `node` may be None when the pipeline has one validate node.

    Raises ApiError: 404 for the run or the node, 400 when `node` is required.
    """
    if pipeline_id is None:
        with context.catalog() as catalog:
            run = catalog.runs.get(run_id)
            if run is None:
                raise not_found("run")
            pipeline_id = run.pipeline_id
    snapshot = watch(context, pipeline_id, run_id)
    with context.catalog() as catalog:
        ir = runnable(catalog, owned_pipeline(catalog, pipeline_id), snapshot.ir_version).ir
    chosen = _node(ir, node)
    if chosen.quarantine is None:
        return _nothing(run_id, chosen.id, None, "failed rows are not persisted for this node")
    table = chosen.quarantine.table
    kept = _kept(context, snapshot, table, chosen.id, limit)
    if kept is None:
        return _nothing(run_id, chosen.id, table, "no rows ever failed for this node")
    return QuarantinePage(
        run_id=run_id,
        node_id=chosen.id,
        quarantine_table=table,
        count=len(kept),
        rows=[QuarantinedRow.model_validate(row) for row in kept],
    )


def read_row(context: RequestContext, run_id: str, pipeline_id: str, node: str, row: int) -> dict[str, Any] | None:
    """The row of that number which the node rejected, as it was read; None if it is not in quarantine. Raises ApiError
    404."""
    snapshot = watch(context, pipeline_id, run_id)
    with context.catalog() as catalog:
        ir = runnable(catalog, owned_pipeline(catalog, pipeline_id), snapshot.ir_version).ir
    chosen = next((each for each in ir.nodes if isinstance(each, ValidateNode) and each.id == node), None)
    if chosen is None or chosen.quarantine is None:
        return None
    kept = _kept(context, snapshot, chosen.quarantine.table, node, 1, row)
    return kept[0]["row"] if kept else None


def _kept(
    context: RequestContext, run: RunSnapshot, table: str, node: str, limit: int, row: int | None = None
) -> list[dict[str, Any]] | None:
    """The rows in the databases of the targets: a row is stored in the database of a downstream target. None if there
    never were any."""
    root, found = run.origin_run_id or run.root_run_id, list[dict[str, Any]]()
    there = False
    try:
        for database in databases_at(context, run.pipeline_id, run.ir_version).all:
            kept = ask(context, database, "quarantined", table, root, node, limit, row)
            there = there or kept is not None
            found += [dict(zip(("id", "rule_id", "row", "created_at"), each, strict=True)) for each in kept or ()]
    except TargetError as error:
        raise ApiError(422, str(error)) from error
    return found[:limit] if there else None


def _node(ir: PipelineIR, node_id: str | None) -> ValidateNode:
    nodes = [node for node in ir.nodes if isinstance(node, ValidateNode)]
    if node_id is None and len(nodes) != 1:
        names = ", ".join(node.id for node in nodes) or "none"
        raise ApiError(400, f"Say which validate node with ?node=; the pipeline has: {names}")
    for node in nodes:
        if node_id in (None, node.id):
            return node
    raise not_found("validate node")


def _nothing(run_id: str, node_id: str, table: str | None, why: str) -> QuarantinePage:
    return QuarantinePage(run_id=run_id, node_id=node_id, quarantine_table=table, count=0, rows=[], residual=why)
