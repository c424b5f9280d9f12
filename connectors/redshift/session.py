"""One connection in one transaction, with the settings under which every value is written exactly.

Redshift speaks PostgreSQL's protocol, so PostgreSQL's client and session are used; it has neither COPY TO STDOUT nor
snapshots that connections share.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import polars as pl
import psycopg
from psycopg import adapt, generators, pq
from psycopg.types.string import TextLoader

from headrace.connectors.errors import SourceError
from headrace.connectors.redshift.login import Access
from headrace.connectors.redshift.types import KINDS
from headrace.connectors.sql.postgresql.errors import failed
from headrace.connectors.sql.postgresql.session import SECONDS, Session

CHUNK_ROWS = 2048
_CHUNKED = 170_000
"""The first version of libpq that returns several rows at a time."""

_SETTINGS = (
    "SET timezone TO 'UTC'",
    "SET datestyle TO 'ISO, MDY'",
    "SET extra_float_digits TO 2",
    "SET describe_field_name_in_uppercase TO off",
)


class RedshiftSession(Session):
    """Executes statements in one transaction. Server errors become SourceErrors about `what`."""

    def __init__(self, connection: psycopg.Connection[Any], what: str) -> None:
        super().__init__(connection, what, live=False, own_zone="UTC")
        for oid in KINDS:
            connection.adapters.register_loader(oid, TextLoader)

    def run(self, statement: str) -> None:
        """Executes an internal statement without rows. Raises SourceError."""
        with self.translating_errors():
            self._connection.execute(statement.encode())

    def texts(self, statement: str) -> Iterator[pl.DataFrame]:
        """The rows of a statement as text, in frames of at most CHUNK_ROWS rows; columns are named by their positions.
        Raises SourceError."""
        rows: list[tuple[Any, ...]] = []
        with self.translating_errors():
            self.pgconn.send_query(statement.encode())
            if pq.version() >= _CHUNKED:
                self.pgconn.set_chunked_rows_mode(CHUNK_ROWS)
            else:
                self.pgconn.set_single_row_mode()
        while True:
            with self.translating_errors():
                result = self._connection.wait(generators.fetch(self.pgconn))
                if result is None:
                    return
                if result.status == pq.ExecStatus.FATAL_ERROR:
                    raise psycopg.errors.error_from_result(result, encoding="utf-8")
                reader = adapt.Transformer(self._connection)
                reader.set_pgresult(result)
                rows += reader.load_rows(0, result.ntuples, tuple)
                names = [str(place) for place in range(result.nfields)]
            if len(rows) >= CHUNK_ROWS or (rows and result.status == pq.ExecStatus.TUPLES_OK):
                yield pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
                rows = []


@contextmanager
def session(
    access: Access, what: str, *, seconds: float = SECONDS, cased: bool = False, writes_files: bool = False
) -> Iterator[RedshiftSession]:
    """A session that ends with the block. `cased`: a name in it has letters that are not small, so that names in quotes
    must be taken as they are. `writes_files`: for UNLOAD, which a transaction that cannot write may refuse. Raises
    SourceError."""
    connection = access.connect()
    try:
        yield _begun(connection, what, seconds=seconds, cased=cased, read_only=not writes_files)
    finally:
        connection.close()


def _begun(
    connection: psycopg.Connection[Any], what: str, *, seconds: float, cased: bool, read_only: bool
) -> RedshiftSession:
    try:
        for statement in _SETTINGS:
            connection.execute(statement.encode())
        connection.execute(f"SET statement_timeout TO {seconds * 1000:.0f}".encode())
        if cased:
            # only if needed: with row-level security a session must not change it
            connection.execute("SET enable_case_sensitive_identifier TO true")
        if read_only:
            connection.execute("BEGIN READ ONLY")
        row = connection.execute(r"SELECT OCTET_LENGTH('\\')").fetchone()
    except psycopg.Error as error:
        raise failed(error, what) from None
    if row is None or row[0] != 1:
        raise SourceError(
            "connection_failed",
            "The server does not read a backslash in a literal as Redshift does.",
            "Is it Redshift? For PostgreSQL there is the connector 'postgresql'.",
        )
    return RedshiftSession(connection, what)
