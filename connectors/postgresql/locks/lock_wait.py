"""Which sessions a run's statements wait for, and cancelling the waiting statements."""

from __future__ import annotations

from typing import Any

import psycopg

from headrace.connectors.postgresql.connections import Database, connect, connect_once, session_name

# Of another role's session the server shows only the name and the process id.
_BLOCKING = """
SELECT DISTINCT coalesce(l.relation::regclass::text, 'a row or transaction'), b.pid,
       coalesce(nullif(b.application_name, ''), b.usename::text, 'a session'),
       to_char(b.xact_start, 'YYYY-MM-DD HH24:MI:SS')
FROM pg_catalog.pg_stat_activity w
CROSS JOIN LATERAL unnest(pg_catalog.pg_blocking_pids(w.pid)) AS blocking (pid)
JOIN pg_catalog.pg_stat_activity b ON b.pid = blocking.pid
LEFT JOIN pg_catalog.pg_locks l ON l.pid = w.pid AND NOT l.granted
WHERE w.application_name = %(me)s AND w.wait_event_type = 'Lock' AND b.application_name <> %(me)s
ORDER BY 1, 2
"""

_GIVE_UP = """
SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE application_name = %(me)s AND wait_event_type = 'Lock' AND pid <> pg_backend_pid()
"""


_NAME = "headrace watch"


class LockWait:
    """Watches the sessions of one run, over a connection of its own."""

    def __init__(self, database: Database, run_id: str) -> None:
        self._database, self._me = database, {"me": session_name(run_id)}
        self._connection: psycopg.Connection[Any] | None = None

    def look(self) -> str | None:
        """Which lock the run waits for and who holds it, as a sentence; None if it waits for none. Raises
        psycopg.Error."""
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._database, autocommit=True, connect_timeout=10, application_name=_NAME)
        found = self._connection.execute(_BLOCKING, self._me).fetchall()
        if not found:
            return None
        held = [
            f"{who} (pid {pid}{f', in a transaction since {since}' if since else ''})" for _, pid, who, since in found
        ]
        return f"waits for a lock on {found[0][0]}, held by {', '.join(dict.fromkeys(held))}"

    def give_up(self) -> None:
        """Cancels the run's statements that wait for a lock, so that none stays queued. Raises psycopg.Error."""
        with connect_once(self._database, autocommit=True, connect_timeout=5, application_name=_NAME) as connection:
            connection.execute(_GIVE_UP, self._me)

    def close(self) -> None:
        """Closes the connection."""
        if self._connection is not None:
            self._connection.close()
