"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

_AT = "2026-01-15T09:00:00.000Z"
_SOURCE = {
    "node": "src",
    "connector": "postgresql",
    "connectorId": "conn_019ac0ffee00",
    "declared": False,
    "columns": [
        {"name": "id", "dataType": "bigint", "precision": None, "scale": None, "guessed": False},
        {"name": "amount", "dataType": "decimal", "precision": 12, "scale": 2, "guessed": False},
    ],
    "foundAt": _AT,
    "foundBy": "discover",
    "lastRunId": "run_019ac0ffee00",
    "lastRunAt": "2026-01-14T09:00:00.000Z",
    "changes": [{"name": "amount", "before": "integer", "after": "decimal(12, 2)"}],
}
_CURSOR = {
    "source": "src",
    "cursor": "default",
    "target": "tgt",
    "position": {"updated_at": "2026-01-15T09:00:00+00:00", "id": 120000},
    "runId": "run_019ac0ffee00",
    "setBy": None,
    "updatedAt": _AT,
}
EXAMPLES: dict[str, Any] = {
    "CursorItem": _CURSOR,
    "PipelineCursors": {"data": [_CURSOR]},
    "SourceItem": _SOURCE,
    "PipelineSources": {"data": [_SOURCE]},
}
