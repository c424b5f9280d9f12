"""The automation that ends runs whose process vanished: open-source Prefect notices them only when told to."""

from __future__ import annotations

from typing import Any

import httpx

NAME = "headrace: runs whose process vanished"
_SILENCE_SECONDS = 90  # three heartbeats


def zombie_automation(*, name: str = NAME, silence_s: int = _SILENCE_SECONDS, runs: str = "*") -> dict[str, Any]:
    """Marks runs (`runs`: a flow-run id, or all) as crashed that began to send heartbeats and sent none for so long."""
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
                "prefect.flow-run.CompletedWithErrors",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
                "prefect.flow-run.TimedOut",
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


def ensure_zombie_automation(prefect_api_url: str) -> None:
    """Creates the automation, and makes one that an earlier release left what it is now. Raises httpx.HTTPError."""
    wanted = zombie_automation()
    with httpx.Client(base_url=prefect_api_url, timeout=15) as client:
        found = client.post("/automations/filter", json={"automations": {"name": {"any_": [NAME]}}, "limit": 1})
        found.raise_for_status()
        if not found.json():
            client.post("/automations/", json=wanted).raise_for_status()
        elif found.json()[0]["description"] != wanted["description"]:
            client.put(f"/automations/{found.json()[0]['id']}", json=wanted).raise_for_status()
