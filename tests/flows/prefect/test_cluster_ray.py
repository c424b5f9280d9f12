"""Partitions on Ray, on a cluster that the run starts for itself."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from tests.conftest import RunningStack
from tests.flows.prefect.cluster_runs import EXACT, FLOW, GOOD, IN_TABLE, SUM, Make, counts, orders, start, under_way
from tests.rest import Api

__all__ = ["orders"]

pytest.importorskip("prefect_ray", reason="the extra headrace[ray] is not installed")
pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]  # a cluster of Ray starts many interpreters

# Ray starts its processes at niceness 15, which starves them beside other tests.
NICENESS = {"worker_niceness": 0}
OPTIONS = {"init_kwargs": {"num_cpus": 2, "include_dashboard": False, "_system_config": NICENESS}}


@contextmanager
def on_ray(stack: RunningStack, api: Api) -> Iterator[subprocess.Popen[bytes]]:
    """The run in a process of its own, which starts a cluster."""
    run = start(["-c", FLOW, api.pipeline], stack, task_runner="ray", task_runner_options=json.dumps(OPTIONS))
    try:
        yield run
    finally:
        run.kill()
        run.wait()


def busy_workers(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The cluster's processes that have a task; Ray names each of its processes after what it does."""
    found = psutil.Process(run.pid).children(recursive=True)
    titles = {each: " ".join(each.cmdline()) for each in found}
    return [each for each, title in titles.items() if title.startswith("ray::") and "IDLE" not in title]


def test_rows_that_are_held_back_are_published_on_ray(stack: RunningStack, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500})
    api.body["ir"]["nodes"][-1]["loadMode"] = "replace"
    api.create()
    with on_ray(stack, api) as run:
        assert run.wait() == 0
    [shown] = api.runs()
    assert counts(api.progress(shown["id"])) == EXACT
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]


def test_a_killed_worker_of_ray_costs_no_row_and_doubles_none(stack: RunningStack, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500}).create()
    with on_ray(stack, api) as run:
        while len(under_way(api)) < 2:  # so both are amid a partition
            assert run.poll() is None
            time.sleep(0.1)
        busy_workers(run)[0].kill()
        assert run.wait() == 0
    [shown] = api.runs()
    progress = api.progress(shown["id"])
    assert (progress["status"], counts(progress)) == ("completed_with_errors", EXACT)
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]
    log = [line["message"] for line in progress["log"]]
    assert any("continuing behind" in line for line in log), "no partition was picked up by another worker"
