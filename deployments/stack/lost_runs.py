"""Runs that a killed stack left behind: their processes died with it, and nobody told Prefect.

The automation of `zombies` would find them, a minute and a half later; until then they hold their pipelines' only slot.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import httpx

_UNFINISHED = ["PENDING", "RUNNING", "CANCELLING"]
_PAGE = 200


_AGAIN_SECONDS = 2.0


class LostRuns:
    """Runs that died with their worker while the stack goes on. Prefect may be away just then: it is told later."""

    def __init__(self, prefect_api_url: str, *, pool: str, worker: str) -> None:
        self._url, self._pool, self._worker = prefect_api_url, pool, worker
        self._before: datetime | None = None
        self._next = 0.0

    def since(self, died: datetime) -> None:
        """The worker's processes are gone; what it had in hand is lost."""
        self._before, self._next = died, 0.0

    def end(self) -> int:
        """Tells Prefect when there is something to tell; returns how many runs were ended just now."""
        if self._before is None or time.monotonic() < self._next:
            return 0
        try:
            lost = end_lost_runs(self._url, pool=self._pool, worker=self._worker, before=self._before)
        except httpx.HTTPError:
            self._next = time.monotonic() + _AGAIN_SECONDS
            return 0
        self._before = None
        return lost


def end_lost_runs(prefect_api_url: str, *, pool: str, worker: str, before: datetime) -> int:
    """Marks the unfinished runs of `worker` that stand as they are since `before` as crashed; returns how many.

    A run that was being cancelled ends as cancelled. Other workers' runs go on. Raises httpx.HTTPError.
    """
    wanted = {
        "work_pools": {"name": {"any_": [pool]}},
        "flow_runs": {"state": {"type": {"any_": _UNFINISHED}}},
        "limit": _PAGE,
    }
    with httpx.Client(base_url=prefect_api_url, timeout=15) as client:
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
            # Not forced: only an orchestrated change gives the pipeline's concurrency slot back.
            client.post(f"/flow_runs/{run['id']}/set_state", json={"state": state}).raise_for_status()
    return len(lost)


def _is_lost(run: dict[str, Any], worker: str, before: datetime) -> bool:
    if datetime.fromisoformat(run["state"]["timestamp"]) >= before:
        return False
    taken_by = (run.get("labels") or {}).get("prefect.worker.name")
    # A worker labels a run a moment after it took it.
    return bool(taken_by == worker or (taken_by is None and run["state"]["type"] == "PENDING"))
