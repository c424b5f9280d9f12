"""The automation that ends runs whose process vanished: open-source Prefect notices them only when told to."""

from __future__ import annotations

from typing import Any

import httpx

NAME = "headrace: runs whose process vanished"
_SILENCE_SECONDS = 90  # three heartbeats

_AUTOMATION: dict[str, Any] = {
    "name": NAME,
    "description": "A run that sends no heartbeat for 90 s has lost its process: it is marked as crashed.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "after": ["prefect.flow-run.heartbeat"],
        "expect": [
            "prefect.flow-run.heartbeat",
            "prefect.flow-run.Completed",
            "prefect.flow-run.CompletedWithErrors",
            "prefect.flow-run.Failed",
            "prefect.flow-run.Cancelled",
            "prefect.flow-run.Crashed",
            "prefect.flow-run.TimedOut",
        ],
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "threshold": 1,
        "within": _SILENCE_SECONDS,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": f"The run's process sent no heartbeat for {_SILENCE_SECONDS} s.",
        }
    ],
}


def ensure_zombie_automation(prefect_api_url: str) -> None:
    """Creates the automation unless there is one by its name. Raises httpx.HTTPError."""
    with httpx.Client(base_url=prefect_api_url, timeout=15) as client:
        found = client.post("/automations/filter", json={"automations": {"name": {"any_": [NAME]}}, "limit": 1})
        found.raise_for_status()
        if not found.json():
            client.post("/automations/", json=_AUTOMATION).raise_for_status()
