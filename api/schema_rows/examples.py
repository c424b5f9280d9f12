"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "DataPage": {
        "total": 2,
        "limit": 50,
        "offset": 0,
        "rows": [{"id": 1, "amount": 1, "note": "a"}, {"id": 2, "amount": 2, "note": "b"}],
    },
    "InsertedRows": {"inserted": 1, "tableName": "ds_orders"},
    "SchemaStats": {
        "fields": [
            {"name": "amount", "type": "numeric", "min": 1, "max": 2, "avg": 1.333333, "distinctCount": 2},
            {"name": "note", "type": "text", "distinctCount": 2, "topValues": ["a", "b"]},
        ],
        "rowCount": 3,
        "sampled": False,
        "computedAt": "2026-01-15T09:00:00.000Z",
    },
}
