"""A worker that runs the flows of this folder: `python worker_for_tests.py <pool> <ready fd>`."""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from headrace.deployments.worker.__main__ import serve
from headrace.deployments.worker.admission import Flows
from headrace.deployments.worker.job import HeadraceJobConfiguration
from headrace.deployments.worker.type import HeadraceWorker

SCHEMA = {"type": "object", "properties": {"note": {"type": "string"}}, "required": ["note"]}


class JobForTests(HeadraceJobConfiguration):
    """As ours, of other flows."""

    flows: ClassVar[Flows] = {
        f"worker_flows.{name}": SCHEMA for name in ("report", "with_tasks", "killed", "broken", "endless")
    }


class WorkerForTests(HeadraceWorker):
    """As ours, of other flows."""

    type = "headrace-for-tests"
    job_configuration = JobForTests


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], ready_fd=int(sys.argv[2]), kind=WorkerForTests))
