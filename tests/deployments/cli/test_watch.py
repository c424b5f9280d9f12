"""`headrace run --watch`: why a run waits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from headrace.deployments.cli import watch
from tests.api.conftest import Facade
from tests.deployments.cli.conftest import Terminal

pytestmark = pytest.mark.postgres


def test_it_says_once_why_a_run_waits(headrace: Terminal, facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    made = facade.pipeline("orders")
    polls = iter(range(9))

    def meanwhile(_: float) -> None:
        run_id = facade.viewer.get(f"/api/v1/pipelines/{made['id']}/runs").json()[0]["id"]
        poll = next(polls)
        if poll == 0:
            facade.store.log(run_id, "retry", "begins where the last one ended")
        if poll == 1:
            facade.store.log(run_id, "run", "waits for run_2, which loads ds_orders")
        if poll == 3:
            facade.store.started(run_id, total_rows=0, fingerprint={}, plan={}, partitions=[])
            facade.store.finished(run_id, status="completed", failure_reason=None)

    monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=meanwhile, monotonic=lambda: 0.0))
    printed = headrace("run", "orders", "--watch").stdout
    assert printed.count("waits for run_2, which loads ds_orders") == 1
    assert "where the last one ended" not in printed
