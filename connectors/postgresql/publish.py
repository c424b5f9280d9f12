"""One publication: rows that were held back go into the table in one transaction with the ledger row that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import psycopg

from connectors.base import PublishCallback, Published, Resume, TargetError
from connectors.postgresql.ledger import LedgerKey, rows_read, seal, sealed
from connectors.postgresql.loader import settle_replayed
from connectors.postgresql.session import Session
from connectors.postgresql.spec import LoadSpec

Work = Callable[[psycopg.Connection[Any]], Published]
"""Moves the rows inside the open transaction. May be called again after a transient error, in a new transaction."""


def publish_once(spec: LoadSpec, key: LedgerKey, work: Work, on_publish: PublishCallback) -> Resume:
    """Does the work unless the ledger has it already; gives the ledger row either way. Raises TargetError."""
    session = Session(spec)

    def attempt() -> Resume:
        connection = session.connection()
        # Read in a transaction of its own: a commit whose answer was lost is found here by the next attempt.
        done = sealed(connection, key)
        connection.commit()
        if done is not None:
            return done
        with connection.transaction():
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _check_complete(connection, spec, key)
            published = work(connection)
            after = on_publish(published)
            if spec.origin_run_id is not None:
                settle_replayed(connection, spec, pl.Series("row", published.settled, dtype=pl.Int64))
            if not seal(connection, key, after):
                raise TargetError(
                    "ledger_moved",
                    f"The rows for {spec.table} are being published by somebody else.",
                    "Another worker took the run over; this one stops.",
                )
        return after

    try:
        return session.persistently(attempt)
    finally:
        session.close()


def _check_complete(connection: psycopg.Connection[Any], spec: LoadSpec, key: LedgerKey) -> None:
    """A crash of the server empties what is staged, also that of partitions which were done before it."""
    expected = spec.staged_rows() if callable(spec.staged_rows) else spec.staged_rows
    if expected is not None and (read := rows_read(connection, key)) != expected:
        raise TargetError(
            "staging_lost",
            f"{expected:,} rows were read for {spec.table}, but only {read:,} are still staged: PostgreSQL "
            "crashed meanwhile, and the table was left as it is.",
            "Retry the run: it reads what is missing again.",
        )
