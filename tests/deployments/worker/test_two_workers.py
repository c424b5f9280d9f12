"""Several workers share one pool, each in a folder of its own. Stages exchange rows in an object store."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from headrace.deployments.stack.environment import base_environment, headrace_environment, prefect_client_environment
from headrace.deployments.stack.process import die_with_parent
from tests.conftest import HEADRACE, RunningStack
from tests.databases import run_settings
from tests.object_store import ObjectStore
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

MOST_RUNS = 60


TOTALS = {
    "id": "sum",
    "kind": "transform",
    "ops": [
        {
            "type": "aggregate",
            "groupBy": ["note"],
            "aggregations": [{"fn": "count", "as": "n"}, {"field": "amount", "fn": "sum", "as": "amount"}],
        }
    ],
}
CAST = {"id": "clean", "kind": "transform", "ops": [{"type": "cast", "field": "amount", "to": "integer"}]}


class Worker:
    """A worker of the stack's pool with a folder of its own, and rows between stages in an object store."""

    def __init__(self, stack: RunningStack, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        settings = {
            **run_settings(stack.data_dir, stack.database_url),
            "files_root": stack.files_root,
            "prefect_api_url": stack.prefect_api_url,
        }
        folder.mkdir()
        prefect = prefect_client_environment(folder / "prefect", stack.prefect_api)
        self._log = folder / "worker.log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [*HEADRACE, "worker", "--name", name],
                cwd=folder,
                env=base_environment() | prefect | headrace_environment(settings) | environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGTERM),  # noqa: PLW1509
            )

    def ready(self) -> bool | None:
        """Whether it takes runs."""
        return "started" in self._log.read_text() or None

    def taken(self) -> set[str]:
        """The runs it took, each once."""
        log = self._log.read_text()
        submitted = re.findall(r"submitting flow run '([0-9a-f-]{36})'", log)
        assert len(submitted) == len(set(submitted))
        beaten = re.findall(r"Aborted submission of flow run '([0-9a-f-]{36})'", log)  # another one was quicker
        return {f"run_{each.replace('-', '')}" for each in set(submitted) - set(beaten)}

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


@pytest.fixture
def workers(stack: RunningStack, object_store: ObjectStore, tmp_path: Path) -> Iterator[list[Worker]]:
    """Two workers beside the stack's own, ready to take runs."""
    environment = object_store.environment | {"HEADRACE_STAGING_URL": object_store.url()}
    started = [Worker(stack, name, tmp_path / name, environment) for name in ("second", "third")]
    try:
        for each in started:
            eventually(each.ready)
        yield started
    finally:
        for each in started:
            each.stop()


@pytest.mark.slow
def test_workers_that_share_an_object_store_take_the_runs_of_one_pool_each_once(
    stack: RunningStack, workers: list[Worker], object_store: ObjectStore
) -> None:
    pipelines = [Api(stack, nodes=[CAST, TOTALS]).create() for _ in range(4)]
    runs: dict[str, Api] = {}
    taken: list[set[str]] = [set(), set()]

    def stored() -> set[str]:
        """The runs that kept rows in the object store, which the stack's own worker does not use."""
        kept = {path for method, path in list(object_store.asked) if method == "PUT"}
        return {run_id for run_id in runs if any(f"/{run_id}-" in path for path in kept)}

    def settled() -> list[set[str]] | None:
        """What each took, once those that came too late for a run have said so."""
        found = [each.taken() for each in workers]
        return found if set.union(*found) == stored() else None

    try:
        while len(runs) < MOST_RUNS and not (all(taken) and set.union(*taken) < set(runs)):
            started = {api.start(): api for api in pipelines}
            runs |= started
            for run_id, api in started.items():
                assert (progress := api.finished(run_id))["rowsOut"] == 2, progress
            taken = eventually(settled)
        assert all(taken), "one of them took none"
        assert taken[0].isdisjoint(taken[1])
        assert set.union(*taken) < set(runs), "the stack's own worker took none"
        assert sum(len(api.rows()) for api in pipelines) == 2 * len(runs)
        assert stored() == set.union(*taken)
    finally:
        for api in pipelines:
            api.close()
