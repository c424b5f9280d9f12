"""One connection in one transaction that only reads, with the settings under which every value is written exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import generators, pq

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.errors import failed
from headrace.connectors.sql.postgresql.login import Access

_SNAPSHOT = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{8}-[0-9]{1,10}")
_SETTINGS = {
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",  # the shortest text that parses to the same number, on old servers too
    "bytea_output": "hex",
    "xmloption": "content",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "60s",
}
SECONDS = 6 * 3600.0
"""The default time limit of a statement, in seconds."""


class Session:
    """Executes statements in one transaction. Server errors become SourceErrors about `what`."""

    def __init__(self, connection: psycopg.Connection[Any], what: str, *, live: bool, own_zone: str) -> None:
        self._connection, self._what = connection, what
        self.live = live
        """Whether the requested snapshot no longer exists."""
        self.own_zone = own_zone
        """The time zone of the server, or of the login, before it was set to UTC."""

    @property
    def version(self) -> int:
        """The version as a number: `180001`."""
        return self._connection.info.server_version

    @property
    def version_name(self) -> str:
        """The displayed version: `18.1`."""
        return (self._connection.info.parameter_status("server_version") or "?").split()[0]

    @property
    def encrypted(self) -> bool:
        """Whether the connection is under TLS."""
        return self.pgconn.ssl_in_use

    @property
    def pgconn(self) -> pq.abc.PGconn:
        """libpq's connection."""
        return self._connection.pgconn

    def rows(self, statement: LiteralString, values: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an internal statement with bound values. Raises SourceError."""
        with self.translating_errors():
            return self._connection.execute(statement, values or None).fetchall()

    def of(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement built from quoted names and literals. Raises SourceError."""
        with self.translating_errors():
            return self._connection.execute(statement.encode()).fetchall()

    def asked(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement built from quoted names, with bound values. Raises SourceError."""
        with self.translating_errors():
            return self._connection.execute(statement.encode(), values).fetchall()

    def command(self, statement: str) -> None:
        """Executes a statement without rows, built from quoted names and literals. Raises SourceError."""
        with self.translating_errors():
            self._connection.execute(statement.encode())

    def planned(self, statement: str) -> list[tuple[str, int, int]]:
        """The columns of a query (name, type oid, modifier), by the extended protocol: the server prepares it as a
        single statement and does not run it. Raises SourceError."""
        with self.translating_errors():
            self.pgconn.send_prepare(b"", statement.encode())
            self._result(pq.ExecStatus.COMMAND_OK)
            self.pgconn.send_describe_prepared(b"")
            found = self._result(pq.ExecStatus.COMMAND_OK)
        return [
            ((found.fname(place) or b"").decode(), found.ftype(place), found.fmod(place))
            for place in range(found.nfields)
        ]

    def begin_copy(self, statement: str) -> None:
        """Sends a COPY … TO STDOUT; its rows are then read from libpq. Raises SourceError."""
        with self.translating_errors():
            self.pgconn.send_query(statement.encode())
            self._result(pq.ExecStatus.COPY_OUT)

    def end_copy(self) -> None:
        """Checks after the last row that the COPY is complete. Raises SourceError."""
        with self.translating_errors():
            self._result(pq.ExecStatus.COMMAND_OK)

    def _result(self, expected: pq.ExecStatus) -> pq.abc.PGresult:
        results: list[pq.abc.PGresult] = self._connection.wait(generators.execute(self.pgconn))
        for result in results:
            if result.status != expected:
                raise psycopg.errors.error_from_result(result, encoding="utf-8")
        return results[-1]

    @contextmanager
    def translating_errors(self) -> Iterator[None]:
        """Translates the server's errors to SourceErrors."""
        try:
            yield
        except psycopg.Error as error:
            raise failed(error, self._what) from None


@contextmanager
def session(access: Access, what: str, *, seconds: float = SECONDS, snapshot: str | None = None) -> Iterator[Session]:
    """A session for the block. With a snapshot it reads that snapshot, or reports that it no longer exists. Raises
    SourceError."""
    connection = access.connect()
    try:
        yield begun(connection, what, seconds=seconds, snapshot=snapshot)
    finally:
        connection.close()


def begun(connection: psycopg.Connection[Any], what: str, *, seconds: float, snapshot: str | None = None) -> Session:
    """The session of an open connection. Raises SourceError."""
    if snapshot is not None and not _SNAPSHOT.fullmatch(snapshot):
        raise SourceError("bad_position", "The snapshot of the partition has no name that PostgreSQL gives.")
    try:
        live = snapshot is not None and not _record_run(connection, snapshot)
        if snapshot is None or live:
            _begin(connection)
        zone = _set(connection, seconds, for_transaction=True)
    except psycopg.Error as error:
        raise failed(error, what) from None
    return Session(connection, what, live=live, own_zone=zone)


def lasting(connection: psycopg.Connection[Any], what: str, *, seconds: float) -> Session:
    """A session of an open connection without a transaction, whose statements are executed each at its time. Raises
    SourceError."""
    try:
        zone = _set(connection, seconds, for_transaction=False)
    except psycopg.Error as error:
        raise failed(error, what) from None
    return Session(connection, what, live=False, own_zone=zone)


def _set(connection: psycopg.Connection[Any], seconds: float, *, for_transaction: bool) -> str:
    """Sets how values are written; returns the time zone before that."""
    settings = dict(_SETTINGS, statement_timeout=f"{seconds * 1000:.0f}")
    if connection.info.server_version >= 170000:
        settings["transaction_timeout"] = "0"
    if connection.info.server_version >= 140000 and not for_transaction:
        settings["idle_session_timeout"] = "0"
    row = connection.execute("SELECT current_setting('timezone')").fetchone()
    for_all = ", ".join([f"set_config(%s, %s, {str(for_transaction).lower()})"] * len(settings))
    values = [each for pair in settings.items() for each in pair]
    connection.execute(f"SELECT {for_all}".encode(), values)
    assert row is not None
    return str(row[0])


def _begin(connection: psycopg.Connection[Any]) -> None:
    connection.execute("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _record_run(connection: psycopg.Connection[Any], snapshot: str) -> bool:
    """Whether the transaction could import the snapshot, which ends with the transaction that exported it."""
    _begin(connection)
    try:
        connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
    except psycopg.Error as error:
        if error.sqlstate is None or error.sqlstate[:2] not in ("22", "42", "55", "0A"):
            raise
        connection.execute("ROLLBACK")
        return False
    return True
