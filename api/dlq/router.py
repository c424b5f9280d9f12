"""`…/runs/{runId}/dlq` and `/pipeline-runs/{runId}/dlq`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.context import Context
from headrace.api.dlq import service
from headrace.api.dlq.schemas import QuarantinePage
from headrace.api.parameters import PipelineIdPath, RunIdPath
from headrace.api.requests.auth import READ, allow, guarded_router

router = guarded_router("dlq")

_Node = Annotated[
    str | None, Query(max_length=100, description="The validate node; may be omitted if the pipeline has only one")
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="The most rows, in the order of their numbers")]


@router.get("/pipelines/{pipeline_id}/runs/{run_id}/dlq", openapi_extra=allow(*READ), response_model_exclude_none=True)
def get_dlq(
    context: Context, pipeline_id: PipelineIdPath, run_id: RunIdPath, node: _Node = None, limit: _Limit = 50
) -> QuarantinePage:
    """The quarantined rows of a validate node of the run."""
    return service.read_rows(context, run_id, pipeline_id, node, limit)


@router.get("/pipeline-runs/{run_id}/dlq", openapi_extra=allow(*READ), response_model_exclude_none=True)
def get_dlq_of_run(context: Context, run_id: RunIdPath, node: _Node = None, limit: _Limit = 50) -> QuarantinePage:
    """The quarantined rows of a validate node of the run, without the pipeline's id."""
    return service.read_rows(context, run_id, None, node, limit)
