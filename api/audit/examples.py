"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

AUDIT_LOG_ITEM = {
    "id": "audit_019ac0ffee00",
    "action": "update",
    "entityType": "api_key",
    "entityId": "key_019ac0ffee00",
    "entityName": "nightly loads",
    "changes": {"revokedAt": {"from": None, "to": "2026-01-15T09:00:00.000Z"}},
    "before": {
        "id": "key_019ac0ffee00",
        "name": "nightly loads",
        "role": "editor",
        "prefix": "hr_a1b2c3d4",
        "revokedAt": None,
    },
    "after": {
        "id": "key_019ac0ffee00",
        "name": "nightly loads",
        "role": "editor",
        "prefix": "hr_a1b2c3d4",
        "revokedAt": "2026-01-15T09:00:00.000Z",
    },
    "entityVersion": None,
    "userId": "key_019ac0ffee00",
    "userName": "alice",
    "tenantId": "default",
    "requestId": "req_5f0c1e8a4b2d",
    "integrityHash": "9f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d0819f86d081",
    "prevHash": "60303ae260303ae260303ae260303ae260303ae260303ae260303ae260303ae2",
    "timestamp": "2026-01-15T09:00:00.000Z",
}

EXAMPLES: dict[str, Any] = {
    "AuditLogItem": AUDIT_LOG_ITEM,
    "AuditLogPage": {"logs": [AUDIT_LOG_ITEM], "total": 1, "page": 1, "limit": 50},
}
