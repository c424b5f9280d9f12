"""Connections of a run: it waits while PostgreSQL has none free, and limits how many it uses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from headrace.connectors.postgresql.error_messages import error_message, is_temporary_refusal

CONNECT_WAIT_S = 120.0
"""Seconds that a run waits for a connection; it logs once that it waits."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0

_CONTROL_PLANE = 40
"""Connections left for the API and Prefect if the server reserves none."""
_OF_A_RUN = 10
"""Connections of a run besides those of its partitions: for its catalog, locks and hooks."""

_FACTS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
       coalesce(current_setting('reserved_connections', true), '0')::int,
       r.rolconnlimit, d.datconnlimit,
       (SELECT count(DISTINCT application_name) FROM pg_catalog.pg_stat_activity
        WHERE application_name ~ '^headrace run_' AND application_name <> %(me)s),
       (SELECT count(DISTINCT application_name) FROM pg_catalog.pg_stat_activity
        WHERE application_name ~ '^headrace run_' AND application_name <> %(me)s AND usename = current_user)
FROM pg_catalog.pg_roles r, pg_catalog.pg_database d
WHERE r.rolname = current_user AND d.datname = current_database()
"""


class Dialled(Protocol):
    """A database with its own connect function: checked addresses, files for TLS."""

    @property
    def key(self) -> str:
        """Distinguishes it from the other databases of a pipeline; the warehouse's is empty."""

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """A connection. Raises psycopg.Error where trying again may help, else TargetError."""


Database = str | Dialled
"""Where a target's tables are: a libpq URL (the warehouse), or the database of a connector record."""


def key_of(database: Database) -> str:
    """Distinguishes the databases of a pipeline; empty for the warehouse."""
    return "" if isinstance(database, str) else database.key


class _Patience:
    """How long `connect` waits, per process. A run waits; the API does not, because a client waits for its answer."""

    seconds = 0.0
    warn: Callable[[str], None] | None = None
    name: str | None = None


def wait_for_connections(
    seconds: float = CONNECT_WAIT_S, warn: Callable[[str], None] | None = None, *, run_id: str | None = None
) -> None:
    """Lets `connect` wait up to `seconds` in this process. `warn` gets a message when it starts to wait. With
    `run_id`, sessions are named after the run unless they are given another name."""
    _Patience.seconds, _Patience.warn = seconds, warn
    _Patience.name = None if run_id is None else session_name(run_id)


def session_name(run_id: str) -> str:
    """The `application_name` of a run's sessions."""
    return f"headrace {run_id}"


def connect_once(database: Database, **options: Any) -> psycopg.Connection[Any]:
    """A connection at the first try. Raises psycopg.Error, and TargetError for the database of a connector."""
    return psycopg.connect(database, **options) if isinstance(database, str) else database.connect(**options)


def connect(database: Database, **options: Any) -> psycopg.Connection[Any]:
    """Opens a connection, retrying while PostgreSQL refuses temporarily (no free connection, starting up), as long as
    `wait_for_connections` allows. Raises psycopg.Error, and TargetError for the database of a connector."""
    if _Patience.name is not None:
        options.setdefault("application_name", _Patience.name)
    deadline, pause, describe = time.monotonic() + _Patience.seconds, _FIRST_PAUSE_S, False
    while True:
        try:
            return connect_once(database, **options)
        except psycopg.OperationalError as error:
            if not is_temporary_refusal(error) or time.monotonic() + pause > deadline:
                raise
            if not describe and _Patience.warn is not None:
                describe = True
                _Patience.warn(f"{error_message(error)}; this run waits for one, {_Patience.seconds:.0f} s at most")
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads retries apart
        pause = min(_LONGEST_PAUSE_S, pause * 2)


@dataclass(frozen=True, slots=True)
class ConnectionShare:
    """The connections a run may use: `connections` for its partitions, of `server` for all runs and `role` for its
    tenant's role (None: no limit), with `others` other runs active."""

    connections: int
    server: int
    role: int | None
    others: int

    def partitions(self, asked: int, each: int) -> int:
        """How many of `asked` partitions may run at the same time if each needs `each` connections; at least 1."""
        return max(1, min(asked, self.connections // max(1, each)))

    def describe(self, asked: int, given: int) -> str:
        """The sentence about it for the run's log and plan."""
        limit = f"{self.server} connections for runs" + (f", {self.role} of this role" if self.role else "")
        beside = f", beside {self.others} other run{'' if self.others == 1 else 's'}" if self.others else ""
        return f"parallelism {asked} becomes {given}: PostgreSQL has {limit}{beside}"


def connection_share(database: Database, run_id: str) -> ConnectionShare | None:
    """The connections the run may use now, leaving room for one more run; None if the database does not answer."""
    try:
        with connect(database, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(_FACTS, {"me": session_name(run_id)}).fetchone()
    except psycopg.Error:
        return None
    assert row is not None
    most, reserved, role, of_database, others, of_role = (int(value) for value in row)
    server = most - (reserved or min(_CONTROL_PLANE, most // 2))
    if of_database >= 0:
        server = min(server, of_database)
    mine = server // (others + 2)
    if role >= 0:
        mine = min(mine, role // (of_role + 2))
    return ConnectionShare(max(1, mine - min(_OF_A_RUN, mine // 2)), server, role if role >= 0 else None, others)
