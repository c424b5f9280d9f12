"""A cancellation that comes while a run ends: Prefect and the facade say the same, whichever came first.

The run is executed as a worker of Prefect's would, and held still between having loaded everything and asking Prefect
whether it is complete, or just after the answer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.deployments.stack.environment import base_environment, headrace_environment, prefect_client_environment
from tests.conftest import RunningStack
from tests.databases import run_settings
from tests.rest import Api, eventually

pytestmark = pytest.mark.stack

HELD = """
import pathlib, runpy, sys, time
from headrace.flows.prefect.final_state import FinalState

moment, folder = sys.argv[1], pathlib.Path(sys.argv[2])
agreed = FinalState.agreed

def hold():
    (folder / "here").touch()
    while not (folder / "on").exists():
        time.sleep(0.02)

async def held(self, state, **options):
    if moment == "before":
        hold()
    answer = await agreed(self, state, **options)
    if moment == "after":
        hold()
    return answer

FinalState.agreed = held
sys.argv = ["prefect.engine"]
runpy.run_module("prefect.engine", run_name="__main__")
"""


class Held:
    """A run of a separate pipeline that is paused at that moment of its end."""

    def __init__(self, stack: RunningStack, api: Api, moment: str, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        prefect = stack.prefect
        pool = prefect.post("/work_pools/", json={"name": folder.name, "type": "process"})
        assert pool.is_success, pool.text
        assert prefect.patch(f"/deployments/{api.deployment()}", json={"work_pool_name": folder.name}).is_success
        self.run_id = api.start()
        environment = base_environment() | prefect_client_environment(folder / "home", stack.prefect_api)
        environment |= headrace_environment(run_settings(stack.data_dir, stack.database_url))
        environment |= {"HEADRACE_FILES_ROOT": str(stack.files_root), "PREFECT__FLOW_RUN_ID": self._flow_run_id}
        environment |= {"PREFECT__FLOW_ENTRYPOINT": "headrace.flows.run.run_pipeline"}
        assert prefect.post(f"/flow_runs/{self._flow_run_id}/set_state", json={"state": {"type": "PENDING"}}).is_success
        self._log = folder / "run.log"
        with self._log.open("wb") as log:
            command = [sys.executable, "-P", "-c", HELD, moment, str(folder)]
            self._process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
        eventually(lambda: (folder / "here").exists() or self._died())

    @property
    def _flow_run_id(self) -> str:
        return self.run_id.removeprefix("run_")

    def _died(self) -> None:
        assert self._process.poll() is None, self._log.read_text()

    def goes_on(self) -> dict[str, Any]:
        """Lets it end; its last state in Prefect."""
        (self._folder / "on").touch()
        self._process.wait(60)
        state: dict[str, Any] = self._stack.prefect.get(f"/flow_runs/{self._flow_run_id}").json()["state"]
        return state

    def states(self) -> list[str]:
        found = self._stack.prefect.get("/flow_run_states/", params={"flow_run_id": self._flow_run_id}).json()
        return [each["name"] for each in sorted(found, key=lambda each: each["timestamp"])]

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def held(stack: RunningStack, tmp_path: Path) -> Iterator[Callable[[Api, str], Held]]:
    made: list[Held] = []

    def build(api: Api, moment: str) -> Held:
        made.append(Held(stack, api, moment, tmp_path))
        return made[-1]

    yield build
    for each in made:
        each.stop()


def test_a_cancellation_before_the_end_is_agreed_on_counts(
    stack: RunningStack, held: Callable[[Api, str], Held]
) -> None:
    with closing(Api(stack, "amount,note\n1,a\n").create()) as api:
        run = held(api, "before")
        assert api.rows() == [(1, "a")]
        assert api.post(f"/pipelines/{api.pipeline}/runs/{run.run_id}/cancel").status_code == 202
        refused = api.delete(f"/pipelines?id={api.pipeline}")
        assert refused.status_code == 409
        assert f"{run.run_id} is being cancelled" in refused.json()["error"]["message"]
        assert run.goes_on()["type"] == "CANCELLED"
        detail = api.detail(run.run_id)
        assert (detail["status"], detail["failureReason"]) == ("failed", "cancelled")
        assert api.progress(run.run_id)["status"] == "failed"
        # what it loaded stays, and a retry finds it in the ledger
        retried = api.post(f"/pipelines/{api.pipeline}/runs/{run.run_id}/retry").json()
        assert retried["metadata"]["resumeFromRow"] == 1


def test_a_cancellation_after_it_is_reported_that_the_run_has_ended(
    stack: RunningStack, held: Callable[[Api, str], Held]
) -> None:
    with closing(Api(stack, "amount,note\n1,a\nx,b\n").create()) as api:
        run = held(api, "after")
        refused = api.post(f"/pipelines/{api.pipeline}/runs/{run.run_id}/cancel")
        assert refused.status_code == 422
        assert "ended already: it is completed_with_errors" in refused.json()["error"]["message"]
        assert run.goes_on()["type"] == "COMPLETED"
        assert api.detail(run.run_id)["status"] == "completed_with_errors"
        assert run.states()[-2:] == ["Running", "Completed"]  # set once, so that it fires automations once


def test_the_tag_of_failed_rows_leaves_tags_that_somebody_gave_the_run(
    stack: RunningStack, held: Callable[[Api, str], Held]
) -> None:
    with closing(Api(stack, "amount,note\n1,a\nx,b\n").create()) as api:
        run = held(api, "before")
        path = f"/flow_runs/{run.run_id.removeprefix('run_')}"
        tags = stack.prefect.get(path).json()["tags"]
        assert stack.prefect.patch(path, json={"tags": [*tags, "mine"]}).is_success
        assert run.goes_on()["type"] == "COMPLETED"
        assert set(stack.prefect.get(path).json()["tags"]) == {*tags, "mine", "rows-failed"}


@pytest.mark.slow
def test_a_run_that_is_stopped_after_it_is_complete_for_both(
    stack: RunningStack, held: Callable[[Api, str], Held]
) -> None:
    with closing(Api(stack, "amount,note\n1,a\n").create()) as api:
        run = held(api, "after")
        run._process.terminate()
        assert run.goes_on()["type"] == "COMPLETED"
        assert api.finished(run.run_id)["status"] == "completed"
