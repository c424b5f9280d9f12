"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "FieldList": {
        "data": [
            {
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
            },
            {
                "id": "field_019ac0ffee00",
                "schemaId": "schema_019ac0ffee00",
                "name": "note",
                "displayName": "note",
                "dataType": "text",
                "length": None,
                "precision": None,
                "scale": None,
                "isNullable": True,
                "isPrimaryKey": False,
                "isUnique": False,
                "isPredictor": False,
                "defaultValue": None,
                "description": "",
                "ordinal": 2,
            },
        ]
    },
}
