"""Examples of requests and responses by schema name; responses are real ones, shortened."""

from __future__ import annotations

from typing import Any

EXAMPLES: dict[str, Any] = {
    "Progress": {
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
        "log": [
            {"stage": "extract", "message": "Read 50000 rows from source", "timestamp": "2026-01-15T09:00:05.000Z"}
        ],
    },
    "RetriedRun": {
        "id": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "pipelineId": "pipe_019ac0ffee00",
        "status": "pending",
        "loadStrategy": "append",
        "metadata": {"retryOf": "run_0f1e2d3c4b5a69788796a5b4c3d2e1f0", "resumeFromRow": 32000, "resumable": True},
        "log": [
            {
                "stage": "retry",
                "message": "Resuming from row 32000 (original run: run_0f1e2d3c4b5a69788796a5b4c3d2e1f0)",
                "timestamp": "2026-01-15T09:00:00.000Z",
            }
        ],
    },
    "RetryTrial": {
        "irVersion": 3,
        "rows": 50,
        "tried": 50,
        "passed": 20,
        "failed": 30,
        "skipped": 0,
        "groups": [
            {
                "node": "check",
                "rule": "small",
                "column": "amount",
                "rows": 30,
                "error": "Must be less than 120",
                "values": ["120", "121", "122"],
            }
        ],
        "stopsRun": None,
        "notes": [
            "Types, lengths and missing values are checked as the table has them; its other constraints only by a run."
        ],
    },
    "RetryTrialRequest": {"irVersion": 3},
    "RunDetail": {
        "id": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "pipelineId": "pipe_019ac0ffee00",
        "status": "failed",
        "createdAt": "2026-01-15T09:00:00.000Z",
        "completedAt": "2026-01-15T09:00:00.000Z",
        "startedAt": "2026-01-15T09:00:00.000Z",
        "irVersion": 2,
        "loadStrategy": "append",
        "failureReason": "The table public.ds_orders is gone",
        "retryOf": None,
        "statistics": {
            "totalRows": 2,
            "processedRows": 0,
            "rowsIn": 0,
            "rowsOut": 0,
            "failedRows": 0,
            "skippedRows": 0,
            "durationMs": 7,
        },
        "nodeResults": [],
        "links": {
            "pipeline": "/api/v1/pipelines/pipe_019ac0ffee00",
            "progress": "/api/v1/pipelines/pipe_019ac0ffee00/runs/run_6f1d2c3b4a5968778695a4b3c2d1e0f1/progress",
            "errors": "/api/v1/pipelines/pipe_019ac0ffee00/runs/run_6f1d2c3b4a5968778695a4b3c2d1e0f1/errors",
        },
    },
    "RunErrors": {
        "runId": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "total": 2,
        "errors": [
            {
                "row": 142,
                "column": "email",
                "value": "not-an-email",
                "error": "Invalid email format",
                "node": "check",
                "rule": "email",
                "kind": "failed",
                "stage": 0,
                "file": "customers_1.csv",
                "source": {"node": "src", "file": "customers_1.csv", "row": 142},
                "sources": [{"node": "src", "file": "customers_1.csv", "row": 142}],
            },
            {
                "row": 305,
                "column": "age",
                "value": "abc",
                "error": "Expected integer",
                "node": "src",
                "rule": "type",
                "kind": "failed",
                "stage": 0,
                "file": "customers_2.csv",
                "source": {"node": "src", "file": "customers_2.csv", "row": 55},
                "sources": [{"node": "src", "file": "customers_2.csv", "row": 55}],
            },
        ],
        "warned": 3,
    },
    "RunErrorsSummary": {
        "runId": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "failed": 12,
        "warned": 0,
        "totals": [
            {
                "node": "check",
                "rule": "email",
                "kind": "failed",
                "column": "email",
                "file": "customers_1.csv",
                "error": "Invalid email format",
                "cells": 12,
                "rows": 12,
            }
        ],
        "more": False,
    },
    "RunItem": {
        "id": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "pipelineId": "pipe_019ac0ffee00",
        "status": "completed",
        "createdAt": "2026-01-15T09:00:00.000Z",
        "completedAt": "2026-01-15T09:05:30.000Z",
    },
    "RunLogPage": {
        "runId": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "lines": [
            {"stage": "load", "message": "public.ds_orders: 1,990 rows loaded", "timestamp": "2026-01-15T09:05:30.000Z"}
        ],
        "last": 4711,
        "more": False,
        "ended": True,
        "waiting": None,
    },
    "RunRequest": {"parameters": {"day": "2026-01-15"}, "irVersion": 2},
    "StartedRun": {
        "id": "run_6f1d2c3b4a5968778695a4b3c2d1e0f1",
        "pipelineId": "pipe_019ac0ffee00",
        "status": "pending",
        "createdAt": "2026-01-15T09:00:00.000Z",
    },
}
