"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "KeyItem": {
        "id": "key_019ac0ffee00",
        "name": "nightly loads",
        "role": "editor",
        "prefix": "hr_a1b2c3d4",
        "expiresAt": "2027-01-01T00:00:00.000Z",
        "lastUsedAt": None,
        "createdAt": "2026-01-15T09:00:00.000Z",
    },
}
