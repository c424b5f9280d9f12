"""What a validate node of a run keeps aside, for whoever asks (the facade knows no connectors)."""

from __future__ import annotations

from catalog.run_records import RunSnapshot
from connectors.postgresql.quarantine import KeptRow, read_quarantine


def quarantined_rows(database_url: str, run: RunSnapshot, table: str, node_id: str, limit: int) -> list[KeptRow] | None:
    """The rows of the run, and of those it goes on from, that are in quarantine now; None when no row ever was."""
    root = run.origin_run_id or run.root_run_id
    return read_quarantine(database_url, table, root_run_id=root, node_id=node_id, limit=limit)
