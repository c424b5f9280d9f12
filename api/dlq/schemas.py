"""Response models of quarantined rows."""

from __future__ import annotations

from typing import Any

from headrace.api.wire import ResponseModel, Timestamp


class QuarantinedRow(ResponseModel):
    """One row that a rule rejected, as it was read."""

    id: int
    rule_id: str
    row: dict[str, Any]
    created_at: Timestamp


class QuarantinePage(ResponseModel):
    """The quarantined rows of a validate node; `residual` is the reason when there are none."""

    run_id: str
    node_id: str
    quarantine_table: str | None
    count: int
    rows: list[QuarantinedRow]
    residual: str | None = None
