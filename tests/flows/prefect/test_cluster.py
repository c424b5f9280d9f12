"""Partitions on a cluster: workers are real processes, one of them is killed, and every row is there once."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningStack
from tests.flows.prefect.cluster_runs import EXACT, FLOW, GOOD, IN_TABLE, SUM, Make, counts, orders, start, under_way
from tests.rest import Api, eventually

__all__ = ["orders"]

pytest.importorskip("prefect_dask", reason="the extra headrace[dask] is not installed")
pytestmark = [pytest.mark.stack, pytest.mark.slow]


class DaskCluster:
    """A scheduler and three workers of one thread each."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        from distributed import Client

        found = folder / "scheduler.json"
        scheduler = ["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0"]
        quiet = ["--no-dashboard", "--scheduler-file", str(found)]
        self.processes = [start([*scheduler, *quiet], stack)]
        self.scheduler_file = found
        eventually(lambda: (found.exists() and found.read_text()) or None)
        worker = ["-m", "distributed.cli.dask_worker", "--scheduler-file", str(found), "--no-dashboard", "--no-nanny"]
        local = ["--nthreads", "1", "--local-directory", str(folder)]
        self.workers = [start([*worker, *local], stack) for _ in range(3)]
        self.processes += self.workers
        with Client(self.address, set_as_default=False) as client:  # none begins when the others are nearly done
            client.wait_for_workers(len(self.workers), timeout=120)

    @property
    def address(self) -> str:
        return str(json.loads(self.scheduler_file.read_text())["address"])

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def dask(stack: RunningStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """One for all runs that leave its workers alive."""
    with closing(DaskCluster(stack, tmp_path_factory.mktemp("dask"))) as cluster:
        yield cluster


@pytest.fixture
def losable(stack: RunningStack, tmp_path: Path) -> Iterator[DaskCluster]:
    """One that a test may take workers from."""
    with closing(DaskCluster(stack, tmp_path)) as cluster:
        yield cluster


def run_on(dask: DaskCluster, api: Api) -> subprocess.Popen[bytes]:
    """The run in a process of its own, its partitions on the cluster."""
    return start(["-c", FLOW, api.pipeline], api.stack, task_runner="dask", dask_address=dask.address)


def test_a_killed_worker_costs_no_row_and_doubles_none(losable: DaskCluster, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500}).create()
    run = run_on(losable, api)
    try:
        eventually(lambda: len(under_way(api)) == len(losable.workers) or None)  # so each is amid a partition
        losable.workers[1].kill()
        assert run.wait(120) == 0
    finally:
        run.kill()
    [shown] = api.runs()
    progress = api.progress(shown["id"])
    assert (progress["status"], counts(progress)) == ("completed_with_errors", EXACT)
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]
    log = [line["message"] for line in progress["log"]]
    assert any("continues after" in line for line in log), "no partition was picked up by another worker"


def test_rows_that_are_held_back_are_published_by_the_cluster(dask: DaskCluster, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500})
    api.body["ir"]["nodes"][-1]["loadMode"] = "replace"
    api.create()
    assert run_on(dask, api).wait(120) == 0
    [shown] = api.runs()
    assert counts(api.progress(shown["id"])) == EXACT
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]


def test_the_limit_on_failed_rows_holds_over_all_workers(dask: DaskCluster, orders: Make) -> None:
    """Each worker's own part is within the limit of 100; theirs together are not."""
    api = orders(errorHandling={"maxErrorRows": 100}).create()
    run_on(dask, api).wait(120)
    [shown] = api.runs()
    detail = api.detail(shown["id"])
    assert detail["status"] == "failed"
    assert detail["failureReason"].startswith("More than 100 rows failed (errorHandling.maxErrorRows)")


def test_partitions_stop_when_the_process_of_their_run_is_gone(dask: DaskCluster, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500}).create()
    run = run_on(dask, api)
    eventually(lambda: under_way(api) or None)
    run.kill()
    run.wait()

    def still() -> list[tuple[Any, ...]] | None:
        before = api.rows(IN_TABLE)
        time.sleep(1.5)
        return before if api.rows(IN_TABLE) == before else None

    [(rows, distinct, _)] = eventually(still)
    assert rows == distinct
    assert rows < GOOD, "the partitions went on to the end"


def test_a_cluster_that_is_not_there_fails_the_run_with_a_sentence(stack: RunningStack, orders: Make) -> None:
    api = orders().create()
    options = {"client_kwargs": {"timeout": 1}}
    settings = {"dask_address": "tcp://127.0.0.1:9", "task_runner_options": json.dumps(options)}
    start(["-c", FLOW, api.pipeline], stack, task_runner="dask", **settings).wait(150)
    [shown] = api.runs()
    assert "The Dask cluster tcp://127.0.0.1:9 cannot be reached" in api.detail(shown["id"])["failureReason"]
