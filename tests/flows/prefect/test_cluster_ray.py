"""Partitions on Ray, on a cluster that the run starts for itself."""

from __future__ import annotations

import json

import pytest

from tests.conftest import RunningStack
from tests.flows.prefect.cluster_runs import EXACT, FLOW, GOOD, IN_TABLE, SUM, Make, counts, orders, start

__all__ = ["orders"]

pytest.importorskip("prefect_ray", reason="the extra headrace[ray] is not installed")
pytestmark = [pytest.mark.stack, pytest.mark.slow]

# Ray starts its processes at niceness 15, which starves them beside other tests.
NICENESS = {"worker_niceness": 0}
OPTIONS = {"init_kwargs": {"num_cpus": 2, "include_dashboard": False, "_system_config": NICENESS}}


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_run_on_ray_loads_every_row_once(stack: RunningStack, orders: Make, mode: str) -> None:
    api = orders(errorHandling={"maxErrorRows": 500})
    api.body["ir"]["nodes"][-1]["loadMode"] = mode
    api.create()
    run = start(["-c", FLOW, api.pipeline], stack, task_runner="ray", task_runner_options=json.dumps(OPTIONS))
    assert run.wait(170) == 0
    [shown] = api.runs()
    assert counts(api.progress(shown["id"])) == EXACT
    assert api.rows(IN_TABLE) == [(GOOD, GOOD, SUM)]
