"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

_SQL = """-- src: read local_fs (amount integer)
-- v: check amount gt:0 (quarantine)
-- tgt: conform to public.ds_orders (amount)
COPY "public"."ds_orders" ("amount", "_headrace_load_id") FROM STDIN (FORMAT binary);"""

EXAMPLES: dict[str, Any] = {
    "Plan": {
        "irVersion": 2,
        "loadStrategy": "append",
        "estimatedRows": 2,
        "parallelism": 4,
        "stages": [
            {
                "name": "src → v → tgt",
                "rows": 2,
                "after": [],
                "gathers": None,
                "unread": [],
                "where": [],
                "steps": ["v: check amount gt:0 (quarantine)", "tgt: conform to public.ds_orders (amount)"],
                "queries": [["v: check amount gt:0 (quarantine)", "tgt: conform to public.ds_orders (amount)"]],
                "table": "public.ds_orders",
                "loadMode": "append",
                "columns": ["amount"],
                "sinks": [
                    {
                        "path": ["src", "v", "tgt"],
                        "table": "public.ds_orders",
                        "loadMode": "append",
                        "columns": ["amount"],
                        "sends": None,
                    }
                ],
                "partitions": [
                    {
                        "index": 0,
                        "firstRow": 1,
                        "rows": 2,
                        "location": {"pieces": [{"path": "orders.csv", "rows": 2, "start": 7, "end": 11}]},
                    }
                ],
            }
        ],
        "sql": [
            {
                "node": "tgt",
                "table": "public.ds_orders",
                "loadMode": "append",
                "sql": _SQL,
            }
        ],
        "ddl": [
            {"table": "_headrace.ledger", "action": "create table", "statement": None},
            {"table": "_headrace.loads", "action": "create table", "statement": None},
            {"table": "dlq.orders", "action": "create table", "statement": None},
        ],
        "notes": [],
    },
    "PlanRequest": {"irVersion": 2},
    "Preview": {
        "irVersion": 2,
        "limit": 50,
        "nodes": [
            {
                "node": "src",
                "kind": "source",
                "schema": [{"name": "amount", "dataType": "integer", "precision": None, "scale": None}],
                "rowsIn": 2,
                "rowsOut": 2,
                "failed": 0,
                "skipped": 0,
                "rows": [{"row": 1, "values": {"amount": 1}}, {"row": 2, "values": {"amount": 2}}],
                "errors": [],
                "stopsRun": None,
                "notes": [],
            }
        ],
    },
    "PreviewRequest": {"node": "v", "limit": 50},
    "SqlPreview": {
        "irVersion": 2,
        "targets": [
            {
                "node": "tgt",
                "table": "public.ds_orders",
                "loadMode": "append",
                "sql": _SQL,
            }
        ],
    },
}
