"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "LineagePage": {
        "schema": {"id": "schema_019ac0ffee00", "name": "orders", "displayName": "orders"},
        "table": "public.ds_orders",
        "lineageColumn": "_headrace_load_id",
        "rows": [
            {
                "row": {"id": 1, "amount": 1},
                "lineage": {
                    "runId": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
                    "pipelineId": "pipe_019ac0ffee00",
                    "sourceNodeId": "src",
                },
            }
        ],
        "count": 1,
    },
}
