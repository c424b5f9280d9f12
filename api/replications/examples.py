"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

_DOCUMENT: dict[str, Any] = {
    "kind": "replication",
    "version": "1.0",
    "id": "shop",
    "metadata": {"name": "shop", "owner": "data-team"},
    "connection": "shop database",
    "sources": {"include": ["sales.*"], "exclude": ["sales.tmp_*"]},
    "defaults": {"cursor": "updated_at"},
    "overrides": [{"tables": ["sales.log"], "loadMode": "append", "cursor": "id"}],
    "schedule": {"kind": "cron", "expression": "*/15 * * * *"},
}

_TOTALS = {"rowsIn": 1100, "rowsOut": 1100, "failedRows": 0, "skippedRows": 0}

_RUN: dict[str, Any] = {
    "id": "run_8186fc47e24745bb8a894400fce490f8",
    "replicationId": "repl_019ac0ffee00",
    "status": "failed",
    "phase": "ended",
    "retryOf": None,
    "version": 1,
    "tables": {"completed": 1, "failed": 1},
    "totals": _TOTALS,
    "failureReason": "1 of 2 tables copied (1,100 rows loaded); not copied: sales.log: The source went away",
    "createdAt": "2026-01-15T09:00:00.000Z",
    "startedAt": "2026-01-15T09:00:01.000Z",
    "completedAt": "2026-01-15T09:00:09.000Z",
}

_TABLE: dict[str, Any] = {
    **_TOTALS,
    "name": "sales.orders",
    "change": "known",
    "status": "completed",
    "pipelineId": "pipe_019ac0ffee00",
    "runId": "run_0515b3e734b04ab2b8cef412aff2fce2",
    "irVersion": 1,
    "totalRows": 1100,
    "percent": 100.0,
    "message": None,
    "startedAt": "2026-01-15T09:00:02.000Z",
    "completedAt": "2026-01-15T09:00:05.000Z",
}

_PLANNED: dict[str, Any] = {
    "name": "sales.orders",
    "kind": "table",
    "change": "new",
    "rows": 1100,
    "target": "public.ds_sales_orders",
    "loadMode": "upsert",
    "key": ["id"],
    "cursor": "updated_at",
    "columns": [],
    "ddl": [
        'CREATE TABLE "public"."ds_sales_orders" ("id" bigint NOT NULL, "updated_at" timestamptz, PRIMARY KEY ("id"), '
        '"_headrace_load_id" bigint);'
    ],
    "notes": [],
    "problems": [],
    "pipelineId": None,
    "document": {
        "kind": "pipeline",
        "version": "1.0",
        "id": "shop: sales.orders",
        "metadata": {"name": "shop: sales.orders", "tags": ["replication"], "owner": "data-team"},
        "nodes": [
            {
                "id": "source",
                "kind": "source",
                "connector": "postgresql",
                "config": {"table": "sales.orders", "cursor": {"column": "updated_at"}},
            },
            {
                "id": "target",
                "kind": "target",
                "input": "source",
                "schema": "public.ds_sales_orders",
                "loadMode": "upsert",
                "schemaContract": "evolve",
                "upsertKey": ["id"],
            },
        ],
    },
}

EXAMPLES: dict[str, Any] = {
    "CreateReplication": {"document": _DOCUMENT},
    "UpdateReplication": {"id": "repl_019ac0ffee00", "status": "paused"},
    "PlanReplication": {"document": None},
    "ReplicationItem": {
        "id": "repl_019ac0ffee00",
        "tenantId": "default",
        "name": "shop",
        "status": "active",
        "version": 1,
        "document": _DOCUMENT,
        "connectorId": "conn_019ac0ffee00",
        "connector": {"id": "conn_019ac0ffee00", "name": "shop database", "type": "postgresql"},
        "tables": 2,
        "lastRunAt": "2026-01-15T09:00:09.000Z",
        "lastRunStatus": "failed",
        "createdAt": "2026-01-15T08:00:00.000Z",
        "updatedAt": "2026-01-15T08:00:00.000Z",
    },
    "ReplicationPlan": {"totals": {"new": 1, "refused": 0}, "tables": [_PLANNED]},
    "ReplicationRunItem": _RUN,
    "ReplicationRunDetail": {**_RUN, "results": [_TABLE]},
    "ReplicationProgress": {
        "runId": _RUN["id"],
        "status": "running",
        "phase": "loading",
        "percent": 50.0,
        "tables": {"completed": 1, "running": 1},
        "totals": _TOTALS,
        "results": [_TABLE],
    },
}
