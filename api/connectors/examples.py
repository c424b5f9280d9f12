"""What is sent and answered, by the name of its schema; answers are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "ConnectorItem": {
        "id": "conn_019ac0ffee00",
        "name": "files",
        "type": "local_fs",
        "description": "Files of the shop",
        "config": {},
        "authMethod": "access_key",
        "status": "active",
        "lastTestedAt": None,
        "lastError": None,
        "lastSyncRowCount": None,
        "lastSyncAt": None,
        "createdAt": "2026-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
    },
    "TestResult": {
        "ok": True,
        "latencyMs": 0,
        "message": "1 file in the files folder",
        "sample": {"files": [{"name": "orders.csv", "size": 11, "modifiedAt": "2026-01-15T09:00:00.000Z"}]},
    },
}
