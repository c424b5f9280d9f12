"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "QuarantinePage": {
        "runId": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "nodeId": "v",
        "quarantineTable": "dlq.orders",
        "count": 1,
        "rows": [{"id": 1, "ruleId": "positive", "row": {"amount": -1}, "createdAt": "2026-01-15T09:00:00.000Z"}],
        "residual": None,
    },
}
