"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "IrCheck": {
        "issues": [],
        "losses": [
            {
                "path": "nodes[2].loadMode",
                "code": "confirmation_required",
                "message": "With the change from append to replace, the next run replaces all rows that are in "
                "public.ds_orders",
                "hint": "repeat the request with ?confirm=true",
            }
        ],
    },
    "IrDifference": {
        "from": 1,
        "to": 2,
        "patch": [{"op": "replace", "path": "/nodes/1/schema", "value": "public.ds_orders"}],
        "summary": [{"node": "tgt", "change": "changed", "details": ["schema: public.ds_old → public.ds_orders"]}],
    },
    "IrLineage": {
        "version": 2,
        "targets": [
            {
                "node": "tgt",
                "table": "public.ds_orders",
                "fields": [
                    {
                        "name": "amount",
                        "inputFields": [
                            {
                                "node": "src",
                                "table": None,
                                "field": "amt",
                                "transformations": [{"type": "DIRECT", "subtype": "TRANSFORMATION", "masking": False}],
                            }
                        ],
                        "steps": [
                            {"node": "clean", "path": "nodes[1].ops[0]", "label": "rename amt to amount"},
                            {"node": "clean", "path": "nodes[1].ops[1]", "label": "cast amount to decimal"},
                        ],
                    }
                ],
                "dataset": [
                    {
                        "node": "src",
                        "table": None,
                        "field": "status",
                        "transformations": [{"type": "INDIRECT", "subtype": "FILTER", "masking": False}],
                        "steps": [{"node": "clean", "path": "nodes[1].ops[2]", "label": "filter status = 'paid'"}],
                    }
                ],
            }
        ],
        "unknown": [],
        "foundAt": {"src": "2026-01-15T09:00:00.000Z"},
    },
    "IrVersion": {
        "version": 2,
        "ir": {
            "id": "orders",
            "kind": "pipeline",
            "nodes": [
                {
                    "id": "src",
                    "kind": "source",
                    "config": {"path": "orders.csv", "format": "csv"},
                    "fields": [{"name": "amount", "dataType": "integer"}],
                    "connector": "local_fs",
                },
                {
                    "id": "v",
                    "kind": "validate",
                    "input": "src",
                    "rowLevel": [{"id": "positive", "rule": "gt:0", "field": "amount", "onFail": "quarantine"}],
                    "quarantine": {"table": "dlq.orders"},
                },
                {"id": "tgt", "kind": "target", "input": "v", "schema": "public.ds_orders", "loadMode": "append"},
            ],
            "version": "1.0",
            "metadata": {"name": "orders"},
        },
        "authoredBy": "nightly loads",
        "comment": "Quarantine amounts that are not positive",
        "createdAt": "2026-01-15T09:00:00.000Z",
        "live": True,
    },
    "IrVersionItem": {
        "version": 2,
        "authoredBy": "nightly loads",
        "comment": "Quarantine amounts that are not positive",
        "createdAt": "2026-01-15T09:00:00.000Z",
    },
    "Publish": {"version": 1},
    "SaveIr": {
        "ir": {
            "kind": "pipeline",
            "version": "1.0",
            "id": "orders",
            "metadata": {"name": "orders"},
            "nodes": [
                {
                    "id": "src",
                    "kind": "source",
                    "connector": "local_fs",
                    "config": {"path": "orders.csv", "format": "csv"},
                    "fields": [{"name": "amount", "dataType": "integer"}],
                },
                {
                    "id": "v",
                    "kind": "validate",
                    "input": "src",
                    "rowLevel": [{"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "quarantine"}],
                    "quarantine": {"table": "dlq.orders"},
                },
                {"id": "tgt", "kind": "target", "input": "v", "schema": "public.ds_orders", "loadMode": "append"},
            ],
        },
        "comment": "Quarantine amounts that are not positive",
    },
    "Validation": {
        "valid": True,
        "issues": [],
        "warnings": [],
        "nodes": {
            "src": {"schema": [{"name": "amount", "dataType": "integer", "precision": None, "scale": None}]},
            "v": {"schema": [{"name": "amount", "dataType": "integer", "precision": None, "scale": None}]},
        },
    },
}
