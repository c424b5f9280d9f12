"""Rejected cells of a run by binary COPY, which takes PostgreSQL half of the processor time of an INSERT."""

from __future__ import annotations

import psycopg
from psycopg.errors import UniqueViolation
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from headrace.catalog.errors import RunMissing
from headrace.catalog.runs.statements import HOLD_RUN

COPIED = (
    "root_run_id",
    "run_id",
    "node_id",
    "stage",
    "partition",
    "warning",
    "row",
    "column",
    "value",
    "error",
    "rule",
    "sources",
)
"""The columns of RunError, in the order in which `add` gets them."""

_COPY = "COPY headrace.run_errors ({}) FROM STDIN (FORMAT binary)".format(", ".join(f'"{name}"' for name in COPIED))


class ErrorCopies:
    """Adds rejected cells, of which mostly none are there: only a replayed batch has been recorded before."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, run_id: str, rows: bytes) -> bool:
        """Stores rows of COPIED, all of this run, in PostgreSQL's binary format, with the limits of
        `RejectedCellStore.add`. Returns False if one of them is there, or is twice among them: then none is stored.
        Raises RunMissing, and DBAPIError, as other statements on the catalog do: a `psycopg.Error` would be taken for
        one of a target."""
        with self._engine.connect() as connection:
            if not connection.scalar(HOLD_RUN, {"run": run_id}):
                raise RunMissing(f"There is no run {run_id}")
            session = connection.connection.driver_connection
            assert session is not None
            try:
                with session.cursor() as cursor, cursor.copy(_COPY) as copy:
                    copy.write(rows)
                session.commit()
            except UniqueViolation:
                session.rollback()
                return False
            except psycopg.Error as error:
                if session.closed:
                    connection.invalidate(error)
                raise DBAPIError.instance(_COPY, None, error, psycopg.Error, hide_parameters=True) from error
        return True
