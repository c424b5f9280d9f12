"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "ScheduledPipeline": {
        "pipelineId": "pipe_019ac0ffee00",
        "name": "orders",
        "status": "active",
        "schedule": {"kind": "cron", "expression": "0 2 * * *", "timezone": "UTC"},
        "lastRunAt": "2026-01-15T02:00:04.000Z",
        "lastRunStatus": "completed",
        "lastDueAt": "2026-01-15T02:00:00.000Z",
        "lagSeconds": 0,
        "nextFires": ["2026-01-16T02:00:00.000Z", "2026-01-17T02:00:00.000Z"],
    },
}
