"""Run Headrace pipelines from your own Prefect flows.

    from headrace.prefect import HeadraceServer, run_pipeline
    from prefect import flow

    @flow
    def nightly():
        orders = run_pipeline("Orders", parameters={"day": "2026-01-15"})
        print(orders.rows_out, orders.failed)

The address and key of the API come from the block passed as `server`, else from HEADRACE_URL and HEADRACE_API_KEY, else
from the block `default` of the type `HeadraceServer`. To create that block, run
`prefect block register -m headrace.prefect` and create it in Prefect's UI, or call
`HeadraceServer(url=..., api_key=...).save("default")`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from pydantic import Field, SecretStr

from headrace._picklable import PicklableError
from headrace.client import Client, RunResult
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import install
from headrace.ir.parameters import ParameterValue

if find_spec("prefect") is None:
    raise HeadraceError("headrace.prefect needs Prefect, which is not installed.", install("worker"))

from prefect import get_run_logger, task
from prefect.blocks.core import Block
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext

__all__ = ["HeadraceServer", "PipelineFailed", "run_pipeline"]


class HeadraceServer(Block):
    """The address and API key of a Headrace API."""

    _block_type_name = "Headrace Server"
    _block_type_slug = "headrace-server"
    _description = "The API of a Headrace: its address and a key of it."

    url: str = Field(description="The API's address, such as https://headrace.example.com/api/v1.")
    api_key: SecretStr = Field(description="A key; its role decides what is allowed.")

    def client(self) -> Client:
        """A client of this API."""
        return Client(self.url, self.api_key.get_secret_value())


class PipelineFailed(PicklableError):
    """The run failed, or rejected rows under `fail_on="errors"`. `result` has its row counts."""

    def __init__(self, message: str, result: RunResult) -> None:
        super().__init__(message)
        self.result = result


@task(task_run_name="headrace: {pipeline}", persist_result=False, cache_policy=NO_CACHE)
def run_pipeline(
    pipeline: str,
    *,
    parameters: Mapping[str, ParameterValue] | None = None,
    fail_on: Literal["failed", "errors"] = "failed",
    server: HeadraceServer | None = None,
    timeout_s: float | None = None,
) -> RunResult:
    """Starts the pipeline with that name or id and waits until its run has ended.

    Raises PipelineFailed when the run failed, with `fail_on="errors"` also when rows were rejected, and TimeoutError
    after `timeout_s` seconds; the run then continues. When Prefect retries the task, it waits for the run of the first
    attempt, or retries that run if it failed; a retry continues after the committed rows.
    """
    logger = get_run_logger()
    with _client(server) as client:
        context = TaskRunContext.get()
        key = None if context is None else f"prefect-{context.task_run.id}"
        run = client.run(pipeline, parameters=parameters, idempotency_key=key)
        found = client.result(run)
        if found.status == "failed" and context is not None and context.task_run.run_count > 1:
            run = client.retry(found)
        logger.info("Run %s of '%s': %s", run.id, pipeline, client.result(run).url)
        result = client.wait(run, timeout_s=timeout_s)
    counts = f"{result.rows_out:,} rows loaded, {result.failed:,} failed, {result.skipped:,} skipped"
    if result.status == "failed":
        raise PipelineFailed(f"'{pipeline}' failed: {result.failure_reason}", result)
    if result.failed and fail_on == "errors":
        raise PipelineFailed(f"'{pipeline}' rejected rows: {counts}", result)
    logger.info("'%s' %s: %s", pipeline, result.status, counts)
    return result


def _client(server: HeadraceServer | None) -> Client:
    if server is None and not os.environ.get("HEADRACE_URL"):
        found = HeadraceServer.load("default")
        assert isinstance(found, HeadraceServer), "a task that is not async gets the block itself"
        server = found
    return Client() if server is None else server.client()
