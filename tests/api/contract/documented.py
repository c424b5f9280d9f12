"""Requests and responses of the published documentation, verbatim, which the API must match."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

CREATE_PIPELINE = r"""
curl -X POST https://playground.kaireonai.com/api/v1/pipelines \
  -H "Content-Type: application/json" \
  -H "X-Tenant-Id: my-tenant" \
  -d '{
    "name": "Customer Import",
    "connectorId": "conn_001",
    "schemaId": "schema_001",
    "schedule": "0 2 * * *",
    "executionConfig": { "batchSize": 5000, "parallelism": 4 },
    "nodes": [
      { "id": "n1", "nodeType": "source", "label": "Snowflake Source", "config": {} },
      { "id": "n2", "nodeType": "transform", "label": "Rename Fields", "config": { "type": "rename_field" } },
      { "id": "n3", "nodeType": "target", "label": "Customer Table", "config": {} }
    ],
    "edges": [
      { "source": "n1", "target": "n2" },
      { "source": "n2", "target": "n3" }
    ]
  }'
"""

CREATE_IR_PIPELINE = r"""
curl -X POST https://playground.kaireonai.com/api/v1/pipelines \
  -H "x-api-key: $API_KEY" \
  -H "x-tenant-id: $TENANT_ID" \
  -H "content-type: application/json" \
  -d '{
    "name": "orders-ingest",
    "connectorId": "<connector-id>",
    "schemaId": "<schema-id>",
    "irVersion": "1.0",
    "ir": {
      "kind": "pipeline",
      "version": "1.0",
      "id": "orders-ingest",
      "metadata": { "name": "orders-ingest" },
      "nodes": [
        { "id": "src", "kind": "source", "connector": "local_fs",
          "config": { "path": "/data/orders/", "pattern": { "type": "glob", "value": "*.csv" },
            "ordering": "lexicographic",
            "waitPolicy": { "maxRetries": 3, "intervalMinutes": 5, "onMissAction": "skip" },
            "atomicity": { "stagingFolder": ".processing/", "successFolder": ".archive/", "failureFolder": ".failed/" },
            "format": "csv" } },
        { "id": "tgt", "kind": "target", "input": "src",
          "schema": "public.ds_orders", "loadMode": "append" }
      ],
      "errorHandling": { "dlq": { "enabled": false }, "retry": { "maxAttempts": 1, "backoff": "exponential" } }
    }
  }'
"""

PIPELINES: Json = {
    "data": [
        {
            "id": "pipe_001",
            "tenantId": "tenant_001",
            "name": "Customer Import",
            "description": "Daily customer data sync from Snowflake",
            "status": "draft",
            "schedule": "0 2 * * *",
            "connectorId": "conn_001",
            "schemaId": "schema_001",
            "executionConfig": {"batchSize": 5000, "parallelism": 4},
            "connector": {"id": "conn_001", "name": "Production Snowflake", "type": "snowflake"},
            "schema": {"id": "schema_001", "name": "customers", "displayName": "Customers"},
            "nodes": [],
            "edges": [],
            "lastRunAt": None,
            "lastRunStatus": None,
            "createdAt": "2026-01-15T09:00:00.000Z",
            "updatedAt": "2026-01-15T09:00:00.000Z",
        }
    ],
    "pagination": {"total": 3, "hasMore": False, "limit": 50, "cursor": None},
}

STARTED_RUN: Json = {
    "id": "run_001",
    "pipelineId": "pipe_001",
    "status": "pending",
    "createdAt": "2026-03-16T14:30:00.000Z",
}

RUNS: list[Json] = [
    {
        "id": "run_001",
        "pipelineId": "pipe_001",
        "status": "completed",
        "createdAt": "2026-03-16T02:00:00.000Z",
        "completedAt": "2026-03-16T02:05:30.000Z",
    }
]

IR_VERSIONS: list[Json] = [
    {
        "version": 7,
        "authoredBy": "alice@example.com",
        "comment": "Add filter for high-value customers",
        "createdAt": "2026-04-30T14:00:00.000Z",
    },
    {"version": 6, "authoredBy": "bob@example.com", "comment": None, "createdAt": "2026-04-29T10:30:00.000Z"},
]

PROGRESS: Json = {
    "status": "running",
    "totalRows": 50000,
    "processedRows": 32000,
    "rowsIn": 32000,
    "rowsOut": 31988,
    "failedRows": 12,
    "skippedRows": 3,
    "partitions": 4,
    "completedPartitions": 2,
    "partitionDetails": [
        {"index": 0, "status": "completed", "rows": 12500},
        {"index": 1, "status": "completed", "rows": 12500},
        {"index": 2, "status": "running", "rows": 7000, "progress": 56},
        {"index": 3, "status": "pending", "rows": 0},
    ],
    "validationErrors": [{"row": 142, "column": "email", "value": "not-an-email", "error": "Invalid email format"}],
    "eta": "3m",
    "durationMs": 45200,
    "loadStrategy": "upsert",
    "log": [{"stage": "extract", "message": "Read 50000 rows from source", "timestamp": "2026-03-30T10:00:05Z"}],
}

ERRORS: Json = {
    "runId": "run_001",
    "total": 12,
    "errors": [
        {"row": 142, "column": "email", "value": "not-an-email", "error": "Invalid email format"},
        {"row": 305, "column": "age", "value": "abc", "error": "Expected integer"},
    ],
}

RETRIED_RUN: Json = {
    "id": "run_002",
    "pipelineId": "pipe_001",
    "status": "pending",
    "loadStrategy": "upsert",
    "metadata": {"retryOf": "run_001", "resumeFromRow": 32000, "resumable": True},
    "log": [
        {
            "stage": "retry",
            "message": "Resuming from row 32000 (original run: run_001)",
            "timestamp": "2026-03-30T12:00:00Z",
        }
    ],
}

CONNECTORS: Json = {
    "data": [
        {
            "id": "conn_001",
            "name": "Production Snowflake",
            "type": "snowflake",
            "description": "Main data warehouse",
            "config": {"account": "xy12345.us-east-1", "warehouse": "COMPUTE_WH", "database": "ANALYTICS"},
            "authMethod": "access_key",
            "status": "active",
            "lastTestedAt": "2026-03-15T10:30:00.000Z",
            "lastError": None,
            "lastSyncRowCount": 18432,
            "lastSyncAt": "2026-03-15T10:30:05.000Z",
            "createdAt": "2026-01-10T08:00:00.000Z",
            "updatedAt": "2026-03-15T10:30:00.000Z",
        }
    ],
    "pagination": {"total": 12, "hasMore": False, "limit": 50, "cursor": None},
}

SCHEMA: Json = {
    "id": "schema_001",
    "tenantId": "tenant_001",
    "name": "customers",
    "displayName": "Customers",
    "description": "Core customer entity",
    "tableName": "ds_customers",
    "entityType": "customer",
    "schemaType": "customer",
    "status": "active",
    "linkedSchemaId": None,
    "joinMapping": None,
    "summaryColumns": None,
    "autoEnrich": False,
    "fields": [
        {
            "id": "field_001",
            "schemaId": "schema_001",
            "name": "email",
            "displayName": "Email",
            "dataType": "varchar",
            "length": 255,
            "precision": None,
            "scale": None,
            "isNullable": False,
            "isPrimaryKey": False,
            "isUnique": True,
            "isPredictor": False,
            "defaultValue": None,
            "description": "",
            "ordinal": 1,
        }
    ],
    "createdAt": "2026-01-10T08:00:00.000Z",
    "updatedAt": "2026-01-10T08:00:00.000Z",
}

INSERTED_ROWS: Json = {"inserted": 2, "tableName": "ds_customers_abc123"}

ROWS: Json = {"total": 5000, "limit": 50, "offset": 0, "rows": []}

STATS: Json = {
    "fields": [
        {"name": "age", "type": "numeric", "min": 18, "max": 85, "avg": 42.3, "distinctCount": 68},
        {"name": "segment", "type": "text", "distinctCount": 4, "topValues": ["high_value", "medium_value"]},
    ]
}

CREATED_KEY: Json = {
    "id": "key_001",
    "name": "key-1",
    "key": "krn_…",
    "prefix": "krn_a1b2c3d4",
    "expiresAt": None,
    "createdAt": "2026-01-15T09:00:00.000Z",
    "warning": "Store this key securely. It will not be shown again.",
}

KEYS: Json = {
    "data": [
        {
            "id": "key_001",
            "name": "key-1",
            "prefix": "krn_a1b2c3d4",
            "expiresAt": None,
            "lastUsedAt": None,
            "createdAt": "2026-01-15T09:00:00.000Z",
        }
    ],
    "total": 1,
}

AUDIT_LOGS: Json = {
    "logs": [
        {
            "id": "audit_001",
            "action": "create",
            "entityType": "connector",
            "entityId": "conn_001",
            "entityName": "files",
            "changes": None,
            "before": None,
            "after": {},
            "entityVersion": None,
            "userId": "user_001",
            "userName": "alice",
            "tenantId": "tenant_001",
            "requestId": "req_001",
            "integrityHash": "9f86d081",
            "prevHash": "00000000",
            "timestamp": "2026-01-15T09:00:00.000Z",
        }
    ],
    "total": 1,
    "page": 1,
    "limit": 50,
}

AUDIT_VERIFICATION: Json = {"intact": True, "verified": 1, "total": 1, "scanned": 1}

DLQ: Json = {"runId": "run_001", "nodeId": "v", "quarantineTable": "dlq.orders", "count": 5, "rows": []}

LINEAGE: Json = {
    "schema": {"id": "schema_001", "name": "customer", "displayName": "Customer"},
    "table": "public.ds_customer",
    "lineageColumn": "_kaireon_lineage",
    "rows": [],
    "count": 50,
}
