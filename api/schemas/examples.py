"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

FIELD_ITEM = {
    "id": "field_019ac0ffee00",
    "schemaId": "schema_019ac0ffee00",
    "name": "amount",
    "displayName": "amount",
    "dataType": "integer",
    "length": None,
    "precision": None,
    "scale": None,
    "isNullable": True,
    "isPrimaryKey": False,
    "isUnique": False,
    "isPredictor": False,
    "defaultValue": None,
    "description": "",
    "ordinal": 1,
}

EXAMPLES: dict[str, Any] = {
    "FieldItem": FIELD_ITEM,
    "SchemaItem": {
        "id": "schema_019ac0ffee00",
        "tenantId": "default",
        "name": "orders",
        "displayName": "Orders",
        "description": None,
        "tableName": "ds_orders",
        "entityType": "custom",
        "schemaType": "customer",
        "status": "active",
        "linkedSchemaId": None,
        "joinMapping": None,
        "summaryColumns": None,
        "autoEnrich": False,
        "fields": [FIELD_ITEM],
        "createdAt": "2026-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
    },
}
