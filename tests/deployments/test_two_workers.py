"""Several workers share one pool: each on its own machine, here in its own folder, takes what is due."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.stack.environment import base_environment, headrace_environment, prefect_client_environment
from deployments.stack.process import die_with_parent
from tests.conftest import HEADRACE, RunningStack
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

MOST_RUNS = 60


@pytest.fixture
def second(stack: RunningStack, tmp_path: Path) -> Iterator[Path]:
    """The log of a second worker, ready to take runs."""
    settings = {
        "database_url": stack.database_url,
        "files_root": stack.files_root,
        "key_pepper": "only the facade needs the real one",
        "prefect_api_url": stack.prefect_api_url,
    }
    prefect = prefect_client_environment(tmp_path / "prefect", stack.prefect_api_url)
    log = tmp_path / "second.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [*HEADRACE, "worker", "--name", "second"],
            cwd=tmp_path,
            env=base_environment() | prefect | headrace_environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )
    try:
        eventually(lambda: "started" in log.read_text() or None)
        yield log
    finally:
        worker.terminate()
        worker.wait(60)


def test_two_workers_take_the_runs_of_one_pool_and_each_run_is_taken_once(stack: RunningStack, second: Path) -> None:
    pipelines = [Api(stack).create() for _ in range(3)]
    runs: dict[str, Api] = {}
    taken: set[str] = set()
    try:
        while len(runs) < MOST_RUNS and not (taken and taken < set(runs)):
            started = {api.start(): api for api in pipelines}
            runs |= started
            for run_id, api in started.items():
                assert api.finished(run_id)["rowsOut"] == 2
            submitted = re.findall(r"submitting flow run '([0-9a-f-]{36})'", second.read_text())
            assert len(submitted) == len(set(submitted))
            taken = {f"run_{each.replace('-', '')}" for each in submitted}
        assert taken, "the second worker took none"
        assert taken < set(runs), "the first worker took none"
        rows = sum(len(api.rows()) for api in pipelines)
        assert rows == 2 * len(runs)
    finally:
        for api in pipelines:
            api.close()
