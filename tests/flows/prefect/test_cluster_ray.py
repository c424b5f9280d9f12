"""Partitions on Ray, on a cluster that the run starts for itself."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import psutil
import pytest

from tests.conftest import RunningStack
from tests.flows.prefect.cluster_runs import EXACT, FLOW, GOOD, IN_TABLE, SUM, Make, counts, orders, start, under_way
from tests.rest import Api, eventually

__all__ = ["orders"]

pytest.importorskip("prefect_ray", reason="the extra headrace[ray] is not installed")
pytestmark = pytest.mark.stack


def run_on_ray(stack: RunningStack, api: Api, **options: Any) -> subprocess.Popen[bytes]:
    """The run in a process of its own, which starts a cluster."""
    chosen = json.dumps({"init_kwargs": {"num_cpus": 2, "include_dashboard": False}} | options)
    return start(["-c", FLOW, api.pipeline], stack, task_runner="ray", task_runner_options=chosen)


def busy_workers(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The cluster's processes that have a task; Ray names each of its processes after what it does."""
    found = psutil.Process(run.pid).children(recursive=True)
    titles = {each: " ".join(each.cmdline()) for each in found}
    return [each for each, title in titles.items() if title.startswith("ray::") and "IDLE" not in title]


def test_rows_that_are_held_back_are_published_on_ray(stack: RunningStack, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500})
    api.body["ir"]["nodes"][-1]["loadMode"] = "replace"
    api.create()
    assert run_on_ray(stack, api).wait(170) == 0
    [shown] = api.runs()
    assert counts(api.progress(shown["id"])) == EXACT
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]


def test_a_killed_worker_of_ray_costs_no_row_and_doubles_none(stack: RunningStack, orders: Make) -> None:
    api = orders(errorHandling={"maxErrorRows": 500}).create()
    run = run_on_ray(stack, api)
    try:
        eventually(lambda: len(under_way(api)) == 2 or None)  # so both are amid a partition
        busy_workers(run)[0].kill()
        assert run.wait(170) == 0
    finally:
        run.kill()
    [shown] = api.runs()
    progress = api.progress(shown["id"])
    assert (progress["status"], counts(progress)) == ("completed_with_errors", EXACT)
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]
    log = [line["message"] for line in progress["log"]]
    assert any("continuing behind" in line for line in log), "no partition was picked up by another worker"
