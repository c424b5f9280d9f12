"""Ends runs whose process is gone: at a restart of the stack or worker, and by an automation in Prefect."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx

from headrace.deployments.prefect.api import PrefectApi
from headrace.flows.prefect.names import RUN_ENDS

_UNFINISHED = ["PENDING", "RUNNING", "CANCELLING"]
_PAGE = 200


_AGAIN_SECONDS = 2.0


class LostRuns:
    """Ends runs that died with their worker while the stack continues; retries while Prefect is unavailable."""

    def __init__(self, prefect: PrefectApi, *, pool: str, worker: str) -> None:
        self._prefect, self._pool, self._worker = prefect, pool, worker
        self._before: datetime | None = None
        self._next = 0.0

    def since(self, died: datetime) -> None:
        """Records that the worker's processes died at this time."""
        self._before, self._next = died, 0.0

    def end(self) -> int:
        """Ends lost runs in Prefect, if there are any; returns how many."""
        if self._before is None or time.monotonic() < self._next:
            return 0
        try:
            lost = end_lost_runs(self._prefect, pool=self._pool, worker=self._worker, before=self._before)
        except httpx.HTTPError:
            self._next = time.monotonic() + _AGAIN_SECONDS
            return 0
        self._before = None
        return lost


def end_lost_runs(prefect: PrefectApi, *, pool: str, worker: str, before: datetime) -> int:
    """Marks unfinished runs of `worker` whose state is older than `before` as crashed; returns how many.

    A run that was being cancelled ends as cancelled. Other workers' runs are not changed. Raises httpx.HTTPError.
    """
    wanted = {
        "work_pools": {"name": {"any_": [pool]}},
        "flow_runs": {"state": {"type": {"any_": _UNFINISHED}}},
        "limit": _PAGE,
    }
    with prefect.client(15) as client:
        found = client.post("/flow_runs/filter", json=wanted)
        found.raise_for_status()
        lost = [run for run in found.json() if _is_lost(run, worker, before)]
        for run in lost:
            cancelling = run["state"]["type"] == "CANCELLING"
            state = {
                "type": "CANCELLED" if cancelling else "CRASHED",
                "name": "Cancelled" if cancelling else "Crashed",
                "message": "The stack ended while the run was under way.",
            }
            # Not forced: only an orchestrated change releases the pipeline's concurrency slot.
            client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return len(lost)


def _is_lost(run: dict[str, Any], worker: str, before: datetime) -> bool:
    if datetime.fromisoformat(run["state"]["timestamp"]) >= before:
        return False
    taken_by = (run.get("labels") or {}).get("prefect.worker.name")
    # A worker labels a run shortly after it took it.
    return bool(taken_by == worker or (taken_by is None and run["state"]["type"] == "PENDING"))


AUTOMATION_NAME = "headrace: runs whose process vanished"
_SILENCE_SECONDS = 90  # three heartbeats


def lost_run_automation(
    *, name: str = AUTOMATION_NAME, silence_s: int = _SILENCE_SECONDS, runs: str = "*"
) -> dict[str, Any]:
    """Marks runs as crashed that sent heartbeats and then none for `silence_s`. `runs`: a flow-run id, or all."""
    return {
        "name": name,
        "description": f"A run that sends no heartbeat for {silence_s} s has lost its process: it is set to crashed.",
        "enabled": True,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "after": ["prefect.flow-run.heartbeat"],
            "expect": [
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
                "prefect.flow-run.TimedOut",
                RUN_ENDS,
            ],
            "match": {"prefect.resource.id": [f"prefect.flow-run.{runs}"]},
            "for_each": ["prefect.resource.id"],
            "threshold": 1,
            "within": silence_s,
        },
        "actions": [
            {
                "type": "change-flow-run-state",
                "state": "CRASHED",
                "message": f"The run's process sent no heartbeat for {silence_s} s.",
            }
        ],
    }


def ensure_lost_run_automation(prefect: PrefectApi) -> None:
    """Creates the automation, or updates that of an earlier release. Raises httpx.HTTPError."""
    wanted = lost_run_automation()
    with prefect.client(15) as client:
        found = client.post(
            "/automations/filter", json={"automations": {"name": {"any_": [AUTOMATION_NAME]}}, "limit": 1}
        )
        found.raise_for_status()
        if not found.json():
            client.post("/automations/", json=wanted).raise_for_status()
        elif not _is_current(found.json()[0], wanted):
            client.put(f"/automations/{found.json()[0]['id']}", json=wanted).raise_for_status()


def _is_current(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    expected = (set(each["trigger"].get("expect", ())) for each in (found, wanted))
    return found["description"] == wanted["description"] and next(expected) == next(expected)
