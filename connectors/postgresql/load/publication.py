"""Moves staged rows into the table, in one transaction with the ledger row that records it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.cursors import move_published
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, find_row, record_publication, rows_read
from headrace.connectors.postgresql.load.loader import release_replayed
from headrace.connectors.postgresql.load.session import Session
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.target import PublishCallback, Published, Resume

PublishWork = Callable[[psycopg.Connection[Any]], Published]
"""Moves the rows inside the open transaction. May be called again after a transient error, in a new transaction."""


def publish_once(
    spec: LoadSpec, key: LedgerKey, work: PublishWork, on_publish: PublishCallback, *, publications: int
) -> Resume:
    """Does the work unless the ledger has it already; returns the ledger row in both cases. `key` is one of
    `publications`; the last one moves the cursors of the rows. Raises TargetError."""
    session = Session(spec)

    def attempt() -> Resume:
        connection = session.connection()
        # Read in a separate transaction: if the previous attempt's commit succeeded but its answer was lost, it is
        # found here.
        done = find_row(connection, key)
        connection.commit()
        if done is not None:
            return done
        with connection.transaction():
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _check_complete(connection, spec, key)
            published = work(connection)
            after = on_publish(published)
            if spec.origin_run_id is not None:
                release_replayed(connection, spec, pl.Series("row", published.settled, dtype=pl.Int64))
            if not record_publication(connection, key, after):
                raise TargetError(
                    "ledger_moved",
                    f"The rows for {spec.table} are being published by another process.",
                    "Another worker took the run over; this one stops.",
                )
            move_published(
                connection,
                key.root_run_id,
                key.target_node,
                key.stage,
                publications=publications,
                cursors={cursor: spec.cursor_key(cursor) for cursor in spec.cursors},
                run_id=spec.run_id,
            )
        return after

    try:
        return session.with_retries(attempt)
    finally:
        session.close()


def _check_complete(connection: psycopg.Connection[Any], spec: LoadSpec, key: LedgerKey) -> None:
    """Raises TargetError(`staging_lost`) if rows of finished partitions are missing, as after a crash of the server."""
    expected = spec.staged_rows() if callable(spec.staged_rows) else spec.staged_rows
    if expected is not None and (read := rows_read(connection, key)) != expected:
        raise TargetError(
            "staging_lost",
            f"{expected:,} rows were read for {spec.table}, but only {read:,} are still staged: PostgreSQL "
            "crashed meanwhile, and the table was not changed.",
            "Retry the run: it reads what is missing again.",
        )
