"""One connection in one transaction that only reads, with the settings under which every value is written exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.mysql.errors import failed
from headrace.connectors.sql.mysql.login import Access
from headrace.connectors.sql.mysql.types import text_literal
from headrace.connectors.sql.mysql.wire import Described, Wire, faults

SECONDS = 6 * 3600.0
"""The default time limit of a statement, in seconds."""

_SLACK = 30.0
_SETTINGS = (
    "time_zone = '+00:00'",
    # backslash escapes, "x" is a text, CHAR is not padded, and 0000-00-00 is comparable
    "sql_mode = IF(FIND_IN_SET('ONLY_FULL_GROUP_BY', @@SESSION.sql_mode) > 0, "
    "'ONLY_FULL_GROUP_BY,ALLOW_INVALID_DATES', 'ALLOW_INVALID_DATES')",
    "sql_auto_is_null = 0",
    "sql_big_selects = 1",
    "sql_select_limit = 18446744073709551615",
    "lock_wait_timeout = 60",
    "net_write_timeout = 3600",  # the connection is idle while a batch is loaded
)


class Session:
    """Executes statements in one transaction. Server errors become SourceErrors about `what`."""

    def __init__(self, wire: Wire, what: str, own_zone: str) -> None:
        self._wire, self._what = wire, what
        self.own_zone = own_zone
        """The time zone of the server, or of the login, before it was set to UTC."""

    @property
    def wire(self) -> Wire:
        """The underlying connection."""
        return self._wire

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement built from quoted names and literals. Raises SourceError."""
        with translating_errors(self._what):
            return self._wire.all(statement)[0]

    def named_rows(self, statement: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The names of a statement's columns, and its rows. Raises SourceError."""
        with translating_errors(self._what):
            rows, fields = self._wire.all(statement)
        return [each.name for each in fields], rows

    def explained(self, statement: str) -> list[dict[str, Any]]:
        """The optimizer's plan of a statement, a row for each table, by the names of its columns in small letters.
        Raises SourceError."""
        kind = "EXTENDED" if self._wire.is_mariadb else "FORMAT=TRADITIONAL"
        names, rows = self.named_rows(f"EXPLAIN {kind} {statement}")
        return [dict(zip((name.lower() for name in names), row, strict=True)) for row in rows]

    def described(self, statement: str) -> list[Described]:
        """The columns of a statement; the server plans it and does not run it. Raises SourceError."""
        with translating_errors(self._what):
            return self._wire.described(statement)

    def now(self) -> str:
        """The server's current time in its time zone, as text of a datetime(6). Raises SourceError."""
        self.rows(f"SET SESSION time_zone = {text_literal(self.own_zone)}")
        moment = self.rows("SELECT NOW(6)")[0][0]
        self.rows("SET SESSION time_zone = '+00:00'")
        return str(moment)

    def begin(self, statement: str) -> None:
        """Begins to read the rows of a statement. Raises SourceError."""
        with translating_errors(self._what):
            self._wire.begin(statement)

    def some(self, rows: int) -> Sequence[tuple[Any, ...]]:
        """The next `count` rows of the statement; fewer at its end. Raises SourceError."""
        with translating_errors(self._what):
            return self._wire.some(rows)


@contextmanager
def translating_errors(what: str) -> Iterator[None]:
    """Translates the driver's errors to SourceErrors."""
    try:
        yield
    except SourceError:
        raise
    except faults() as error:
        raise failed(error, what) from None


@contextmanager
def session(access: Access, what: str, *, seconds: float = SECONDS) -> Iterator[Session]:
    """A session for the block with a consistent snapshot of its start. Raises SourceError."""
    wire = access.connect(seconds + _SLACK)
    try:
        with translating_errors(what):
            begun = _begun(wire, what, seconds)
        yield begun
    finally:
        wire.close()


def _begun(wire: Wire, what: str, seconds: float) -> Session:
    zone = str(wire.all("SELECT @@SESSION.time_zone")[0][0][0])
    settings = list(_SETTINGS)
    if wire.is_mariadb:
        settings.append(f"max_statement_time = {seconds:.3f}")
    else:
        settings.append(f"max_execution_time = {seconds * 1000:.0f}")
        if int(wire.version_name.split(".")[0]) >= 8:
            settings.append("information_schema_stats_expiry = 0")
    for statement in (
        "SET NAMES utf8mb4",
        "SET SESSION " + ", ".join(settings),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ):
        wire.all(statement)
    return Session(wire, what, zone)
