"""A pipeline and its Prefect deployment: what can run, and that Prefect has it as it is now."""

from __future__ import annotations

from dataclasses import dataclass

from api.context import RequestContext
from api.errors import ApiError, not_found
from catalog.load_strategy import LoadStrategy, load_strategy
from catalog.models import Pipeline
from catalog.repositories import TenantCatalog
from deployments.orchestrator import RegisteredPipeline
from ir import PipelineIR, parse_ir
from ir.nodes.target import TargetNode
from ir.problems import Problem
from ir.schedule import CronSchedule


@dataclass(frozen=True, slots=True)
class Runnable:
    """One version of a pipeline's IR that can run."""

    ir: PipelineIR
    version: int

    @property
    def load_strategy(self) -> LoadStrategy:
        """How a run of it loads."""
        return load_strategy(node.load_mode for node in self.ir.nodes if isinstance(node, TargetNode))


def runnable(catalog: TenantCatalog, pipeline: Pipeline, version: int | None = None) -> Runnable:
    """The pipeline's IR, the live version unless one is named. Raises ApiError: 422 with `details` when there is none
    or it cannot run, 404 for a version that does not exist."""
    stored = catalog.pipelines.ir_version(pipeline, version)
    if stored is None and pipeline.live_version is not None:
        raise not_found("IR version")
    if stored is None:
        hint = 'create the pipeline with "irVersion": "1.0" and "ir"'
        problem = Problem("ir", "no_ir", "The pipeline has no IR that could run", hint)
        raise ApiError(422, "The pipeline cannot run", details=[problem])
    parsed = parse_ir(stored.ir)
    if parsed.ir is None:  # saved by a release whose IR was wider
        raise ApiError(422, "The pipeline cannot run", details=parsed.problems)
    return Runnable(parsed.ir, stored.version)


def ensure_deployed(context: RequestContext, pipeline_id: str, *, anew: bool = False) -> str:
    """The id of the pipeline's deployment, which is sent to Prefect when it differs from what was last sent.

    `anew` sends it whatever was sent before. Raises OrchestratorAway, and ApiError 422 for a pipeline without IR.
    """
    with context.catalog() as catalog:
        pipeline = catalog.pipelines.get(pipeline_id)
        if pipeline is None:
            raise not_found("pipeline")
        wanted = _registration(pipeline, runnable(catalog, pipeline))
        if pipeline.deployment_id and pipeline.deployment_fingerprint == wanted.fingerprint() and not anew:
            return pipeline.deployment_id
    # no transaction stays open while Prefect thinks
    deployment_id = context.orchestrator.register(wanted)
    with context.catalog() as catalog:
        pipeline = catalog.pipelines.get(pipeline_id)
        if pipeline is not None:
            pipeline.deployment_id, pipeline.deployment_fingerprint = deployment_id, wanted.fingerprint()
    return deployment_id


def _registration(pipeline: Pipeline, live: Runnable) -> RegisteredPipeline:
    schedule = live.ir.schedule
    if schedule is None and pipeline.schedule is not None:
        schedule = CronSchedule(kind="cron", expression=pipeline.schedule)
    return RegisteredPipeline(
        id=pipeline.id,
        name=pipeline.name,
        tenant_id=pipeline.tenant_id,
        schedule=schedule,
        ir_version=live.version,
        parallelism=pipeline.execution_config.get("parallelism"),
    )
