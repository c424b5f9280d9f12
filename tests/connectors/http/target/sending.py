"""Runs that send the rows of a CSV file to the API server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.catalog.runs.records import ConnectorRecord
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.http.api_server import ApiServer
from tests.flows.runtime.runs import Runner

RECORD = {"id": {"$field": "id", "type": "bigint"}, "name": {"$field": "name"}}
PATH = "/in"


def config(**given: Any) -> dict[str, Any]:
    """The config of a target that sends 10 records per request to `items`."""
    return {
        "path": PATH,
        "record": RECORD,
        "records": "items",
        "batch": {"rows": 10},
        "rejects": {"path": "errors"},
        **given,
    }


def nodes(target: dict[str, Any], **node: Any) -> list[dict[str, Any]]:
    """A CSV file to an API."""
    sending = {
        "id": "out",
        "kind": "target",
        "input": "src",
        "connector": "http",
        "connection": "api",
        "config": target,
    }
    return [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"pattern": "in.csv", "format": "csv"}},
        {**sending, **node},
    ]


def write(files: Path, rows: Iterable[tuple[Any, ...]], header: str = "id,name") -> None:
    """The file."""
    lines = [header, *(",".join("" if each is None else str(each) for each in row) for row in rows)]
    (files / "in.csv").write_text("\n".join(lines) + "\n")


def job_of(runner: Runner, api: ApiServer, listed: list[dict[str, Any]], type: str = "rest_api", **more: Any) -> Job:
    """A job whose API is the server's."""
    job = runner.job(listed)
    address = {"restEndpoint": api.url} if type == "braze" else {"url": api.url}
    record = ConnectorRecord("api", type, {**address, "insecureLogin": True, **more}, {"token": "t-123456"})
    pipeline = replace(job.pipeline, named={"api": record}, execution_config={"parallelism": 1})
    return replace(job, pipeline=pipeline)


def run(job: Job, runner: Runner) -> RunTotals:
    """Runs it to its end."""
    runner.recorder.cells.clear()
    return run_in_threads(Execution(prepare(job), runner.recorder))


def retried(job: Job, run_id: str) -> Job:
    """The job of a retry."""
    plan = stored_plan(prepare(job))
    return replace(job, run_id=run_id, continues=Continuation(root_run_id=job.root_run_id, earlier_plan=plan))
