"""Starts the run that follows a streaming run, through the deployment of the run itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
from prefect import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectException

from headrace.catalog.errors import NoIr, PipelineMissing
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import CredentialsUnreadable
from headrace.flows.prefect.names import next_run_key, run_name
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.runtime.job import Job
from headrace.ir.load_modes import load_modes, load_strategy


async def start_next(flow_run: FlowRun, store: RunStore, job: Job, logger: RunLogger) -> str | None:
    """Starts the next run, of the version that is live now; returns its id. None when the deployment is paused or
    deleted, or Prefect does not answer: then the reconciler starts it later, unless it is not wanted."""
    if flow_run.deployment_id is None:
        logger.info("No run follows: this one was started without a deployment.")
        return None
    pipeline = job.pipeline
    try:
        pipeline = await asyncio.to_thread(store.pipelines.load, pipeline.id, None)
        async with get_client() as client:
            deployment = await client.read_deployment(flow_run.deployment_id)
            if deployment.paused:
                logger.info("No run follows: the deployment is paused.")
                return None
            following = await client.create_flow_run_from_deployment(
                flow_run.deployment_id,
                parameters={
                    "pipeline_id": pipeline.id,
                    "tenant_id": pipeline.tenant_id,
                    "parameters": dict(job.parameters),
                },
                idempotency_key=next_run_key(pipeline.tenant_id, pipeline.id, job.run_id),
                name=run_name(pipeline.name, datetime.now(UTC)),
            )
    except (httpx.HTTPError, PrefectException, PipelineMissing, NoIr, CredentialsUnreadable) as error:
        logger.warning("The next run could not be started, and is started within a minute: %r", error)
        return None
    run_id = f"run_{following.id.hex}"
    store.open(
        run_id,
        tenant_id=pipeline.tenant_id,
        pipeline_id=pipeline.id,
        ir_version=pipeline.ir_version,
        root_run_id=run_id,
        retry_of=None,
        load_strategy=load_strategy(load_modes(pipeline.ir)),
        parameters=job.parameters,
        streams=True,
    )
    logger.info("Followed by %s (%s)", following.name, run_id)
    return run_id
