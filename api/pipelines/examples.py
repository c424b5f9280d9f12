"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "CreatePipeline": {
        "name": "orders",
        "connectorId": "conn_019ac0ffee00",
        "schemaId": "schema_019ac0ffee00",
        "irVersion": "1.0",
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
        "schedule": "0 2 * * *",
    },
    "PipelineDetail": {
        "id": "pipe_019ac0ffee00",
        "tenantId": "default",
        "name": "orders",
        "description": "Orders of the shop, every night",
        "status": "active",
        "schedule": "0 2 * * *",
        "connectorId": "conn_019ac0ffee00",
        "schemaId": "schema_019ac0ffee00",
        "executionConfig": {"batchSize": 5000, "parallelism": 4},
        "connector": {"id": "conn_019ac0ffee00", "name": "files", "type": "local_fs"},
        "schema": {"id": "schema_019ac0ffee00", "name": "orders", "displayName": "orders"},
        "nodes": [],
        "edges": [],
        "lastRunAt": "2026-01-15T09:00:00.000Z",
        "lastRunStatus": "completed_with_errors",
        "createdAt": "2026-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
        "irVersion": "1.0",
        "issues": [],
    },
    "PipelineItem": {
        "id": "pipe_019ac0ffee00",
        "tenantId": "default",
        "name": "orders",
        "description": "Orders of the shop, every night",
        "status": "active",
        "schedule": "0 2 * * *",
        "connectorId": "conn_019ac0ffee00",
        "schemaId": "schema_019ac0ffee00",
        "executionConfig": {"batchSize": 5000, "parallelism": 4},
        "connector": {"id": "conn_019ac0ffee00", "name": "files", "type": "local_fs"},
        "schema": {"id": "schema_019ac0ffee00", "name": "orders", "displayName": "orders"},
        "nodes": [],
        "edges": [],
        "lastRunAt": "2026-01-15T09:00:00.000Z",
        "lastRunStatus": "completed_with_errors",
        "createdAt": "2026-01-15T09:00:00.000Z",
        "updatedAt": "2026-01-15T09:00:00.000Z",
    },
    "UpdatePipeline": {"id": "pipe_019ac0ffee00", "description": "Orders of the shop, every night"},
}
