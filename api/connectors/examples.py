"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

_UPLOADED = {
    "name": "orders.csv",
    "size": 20481,
    "checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "uploadedAt": "2024-01-15T10:30:00.000Z",
}
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
    "StreamItem": {
        "name": "sales.orders",
        "kind": "table",
        "settings": {"table": "sales.orders"},
        "format": None,
        "size": None,
        "rows": 120000,
        "key": ["id"],
        "comment": "What was ordered",
        "fields": [
            {"name": "id", "dataType": "bigint", "precision": None, "scale": None},
            {"name": "amount", "dataType": "decimal", "precision": 12, "scale": 2},
        ],
        "guessed": [],
    },
    "StreamRows": {
        "name": "sales.orders",
        "fields": [
            {"name": "id", "dataType": "bigint", "precision": None, "scale": None},
            {"name": "amount", "dataType": "decimal", "precision": 12, "scale": 2},
        ],
        "rows": [{"id": 1, "amount": "2.50"}, {"id": 2, "amount": "3.75"}],
    },
    "UploadedFile": _UPLOADED,
    "UploadedFiles": {"data": [_UPLOADED]},
    "TestResult": {
        "ok": True,
        "latencyMs": 0,
        "message": "1 file in the files folder",
        "sample": {"files": [{"name": "orders.csv", "size": 11, "modifiedAt": "2026-01-15T09:00:00.000Z"}]},
    },
}
