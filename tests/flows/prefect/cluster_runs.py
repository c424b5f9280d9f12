"""Runs of a pipeline of six files in separate processes, for the tests of clusters."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.deployments.stack.environment import base_environment, headrace_environment, prefect_client_environment
from headrace.deployments.stack.process import die_with_parent
from tests.conftest import RunningStack
from tests.databases import run_settings
from tests.rest import Api

FLOW = """
import asyncio, sys
from headrace.flows.run import run_pipeline
asyncio.run(run_pipeline(sys.argv[1], "default", return_state=True))
"""
FILES, ROWS = 6, 180_000


def environment(stack: RunningStack, **settings: Any) -> dict[str, str]:
    """That of a process beside the stack's own."""
    known = {
        **run_settings(stack.data_dir, stack.database_url),
        "files_root": stack.files_root,
        "prefect_api_url": stack.prefect_api_url,
    }
    prefect = prefect_client_environment(stack.data_dir / "cluster", stack.prefect_api)
    return base_environment() | prefect | headrace_environment(known | settings)


def start(command: list[str], stack: RunningStack, **settings: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", *command],
        env=environment(stack, **settings),
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
    )


Make = Callable[..., Api]


@pytest.fixture
def orders(stack: RunningStack) -> Iterator[Make]:
    """Pipelines of six partitions and many small transactions; every 1,000th row cannot be loaded."""
    made: list[Api] = []

    def make(**document: Any) -> Api:
        folder = f"many_{uuid4().hex[:8]}"
        (stack.files_root / folder).mkdir()
        for number in range(FILES):
            rows = range(number * ROWS // FILES + 1, (number + 1) * ROWS // FILES + 1)
            text = "".join(f"{'x' if row % 1000 == 0 else row},n\n" for row in rows)
            (stack.files_root / folder / f"{number}.csv").write_text("amount,note\n" + text)
        source = {"config": {"path": f"{folder}/", "ordering": "process_all"}}
        api = Api(stack, None, source=source, execution={"parallelism": 3, "batchSize": 250}, **document)
        made.append(api)
        return api

    yield make
    for api in made:
        api.close()


def under_way(api: Api) -> dict[int, int]:
    """The rows that each partition has committed, of those that have some and are not done."""
    query = """
        SELECT l.partition, l.rows_done FROM _headrace.ledger l JOIN _headrace.loads USING (root_run_id, partition)
        WHERE target_table = %s AND rows_done > 0
    """
    with psycopg.connect(api.stack.database_url) as connection:
        try:
            found = dict(connection.execute(query, (api.table,)).fetchall())
        except psycopg.errors.UndefinedTable:  # the first run of all makes it
            return {}
    return {partition: rows for partition, rows in found.items() if rows < ROWS // FILES}


def counts(progress: dict[str, Any]) -> tuple[int, ...]:
    return tuple(progress[name] for name in ("rowsIn", "rowsOut", "failedRows", "skippedRows"))


GOOD = ROWS - ROWS // 1000
EXACT = (ROWS, GOOD, ROWS // 1000, 0)
SUM = ROWS * (ROWS + 1) // 2 - sum(range(1000, ROWS + 1, 1000))
IN_TABLE = "SELECT count(*), count(DISTINCT amount), sum(amount) FROM {table}"
