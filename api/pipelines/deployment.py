"""A pipeline and its Prefect deployment: what can run, and that Prefect has it as it is now."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from api.context import RequestContext
from api.errors import ApiError, not_found
from api.pipelines.legacy import lowered
from catalog.load_strategy import LoadStrategy, load_strategy
from catalog.models import Pipeline
from catalog.repositories import TenantCatalog
from deployments.orchestrator import OrchestratorAway, OrchestratorRefused
from ir import PipelineIR, parse_ir
from ir.nodes.target import TargetNode

_log = structlog.get_logger("headrace.api")


@dataclass(frozen=True, slots=True)
class Runnable:
    """One version of a pipeline's IR that can run."""

    ir: PipelineIR
    version: int
    pipeline_name: str

    @property
    def load_strategy(self) -> LoadStrategy:
        """How a run of it loads."""
        return load_strategy(node.load_mode for node in self.ir.nodes if isinstance(node, TargetNode))


def runnable(catalog: TenantCatalog, pipeline: Pipeline, version: int | None = None) -> Runnable:
    """The pipeline's IR, the live version unless one is named. Raises ApiError: 422 with `details` when there is none
    or it cannot run, 404 for a version that does not exist."""
    stored = catalog.pipelines.ir_version(pipeline, version)
    if stored is None and version is not None:
        raise not_found("IR version")
    if stored is None:
        meant = lowered(pipeline)
        if meant.ir is None:
            raise ApiError(422, "The pipeline cannot run", details=meant.problems)
        catalog.pipelines.save_lowered(pipeline, meant.ir)  # an earlier release could not make sense of it
        return runnable(catalog, pipeline)
    parsed = parse_ir(stored.ir)
    if parsed.ir is None:  # saved by a release whose IR was wider
        raise ApiError(422, "The pipeline cannot run", details=parsed.problems)
    return Runnable(parsed.ir, stored.version, pipeline.name)


def ensure_deployed(context: RequestContext, pipeline_id: str, *, anew: bool = False) -> str:
    """The id of the pipeline's deployment, which is sent to Prefect when something changed since it was last sent.

    `anew` sends it in any case. Raises OrchestratorAway, OrchestratorRefused, and ApiError 422 when there is nothing to
    run.
    """
    deployment_id = context.reconciler.bring(pipeline_id, anew=anew)
    if deployment_id is None:
        raise ApiError(422, "The pipeline cannot run")
    return deployment_id


def follow(context: RequestContext, pipeline_id: str) -> None:
    """Tells Prefect of a pipeline that was saved or deleted; what cannot be told now the reconciler tells later."""
    try:
        context.reconciler.bring(pipeline_id)
    except (OrchestratorAway, OrchestratorRefused) as error:
        _log.warning("pipeline not registered yet", pipeline=pipeline_id, reason=str(error))
