"""Response models of quarantined rows."""

from __future__ import annotations

from typing import Any

from headrace.api.wire import ResponseModel, RunId, Timestamp


class QuarantinedRow(ResponseModel):
    """One row that a rule rejected, as it was read."""

    id: int
    """The number of the row in the quarantine table."""
    rule_id: str
    """The id of the rule that the row broke."""
    row: dict[str, Any]
    """The values by column, as they were read."""
    created_at: Timestamp
    """When it was put in quarantine."""


class QuarantinePage(ResponseModel):
    """The quarantined rows of a validate node."""

    run_id: RunId
    node_id: str
    """The validate node."""
    quarantine_table: str | None
    """The table with the rows, such as `dlq.orders`; omitted for a node that keeps none."""
    count: int
    """The number of rows in this response."""
    rows: list[QuarantinedRow]
    """The rows that are in quarantine now, in the order of their numbers."""
    residual: str | None = None
    """Why there are no rows; omitted if there are."""
