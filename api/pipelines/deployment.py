"""The version of a pipeline that can run, and its Prefect deployment."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.pipelines.legacy import lowered
from headrace.catalog.models import Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused
from headrace.ir import PipelineIR, parse_ir
from headrace.ir.load_modes import LoadStrategy, load_strategy
from headrace.ir.nodes.target import TargetNode

_log = structlog.get_logger("headrace.api")


@dataclass(frozen=True, slots=True)
class Runnable:
    """One version of a pipeline's IR that can run."""

    ir: PipelineIR
    version: int
    pipeline_name: str
    streams: bool = False
    """Whether its runs are streaming ones."""

    @property
    def load_strategy(self) -> LoadStrategy:
        """The load strategy of its runs."""
        return load_strategy(node.load_mode for node in self.ir.nodes if isinstance(node, TargetNode))


def runnable(catalog: TenantCatalog, pipeline: Pipeline, version: int | None = None) -> Runnable:
    """The pipeline's IR, by default the live version. Raises ApiError: 422 with `details` when there is none or it
    cannot run, 404 for a version that does not exist."""
    stored = catalog.pipelines.ir_version(pipeline, version)
    if stored is None and version is not None:
        raise not_found("IR version")
    if stored is None:
        meant = lowered(pipeline)
        if meant.ir is None:
            raise ApiError(422, "The pipeline cannot run", details=meant.problems)
        catalog.pipelines.save_lowered(pipeline, meant.ir)  # an earlier release could not lower it
        return runnable(catalog, pipeline)
    parsed = parse_ir(stored.ir)
    if parsed.ir is None:  # saved by an earlier release that accepted it
        raise ApiError(422, "The pipeline cannot run", details=parsed.problems)
    streams = pipeline.execution_config.get("mode") == "streaming"
    return Runnable(parsed.ir, stored.version, pipeline.name, streams)


def ensure_deployed(context: RequestContext, pipeline_id: str, *, force: bool = False) -> str:
    """The id of the pipeline's deployment, which is first updated in Prefect if the pipeline has changed, or always
    with `force`. Raises OrchestratorAway, OrchestratorRefused, and ApiError 422 when there is nothing to run.
    """
    deployment_id = context.reconciler.bring(pipeline_id, force=force)
    if deployment_id is None:
        raise ApiError(422, "The pipeline cannot run")
    return deployment_id


def sync_deployment(context: RequestContext, pipeline_id: str) -> None:
    """Updates Prefect after a pipeline was saved or deleted. If that fails, the reconciler does it later."""
    try:
        context.reconciler.bring(pipeline_id)
    except (OrchestratorAway, OrchestratorRefused) as error:
        _log.warning("pipeline not registered yet", pipeline=pipeline_id, reason=str(error))
