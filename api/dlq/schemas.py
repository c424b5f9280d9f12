"""The shape of quarantined rows on the wire."""

from __future__ import annotations

from typing import Any

from api.wire import Shown, Timestamp


class QuarantinedRow(Shown):
    """One row that a rule kept out, as it was read."""

    id: int
    rule_id: str
    row: dict[str, Any]
    created_at: Timestamp


class QuarantinePage(Shown):
    """What a validate node kept aside; `residual` says why there is nothing, when there is nothing."""

    run_id: str
    node_id: str
    quarantine_table: str | None
    count: int
    rows: list[QuarantinedRow]
    residual: str | None = None
