"""The advisory lock on a target table that a run holds from planning until it ends."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import Database, connect
from headrace.connectors.postgresql.tables.describe import first_line, split_name

_TRY = {
    True: "SELECT pg_try_advisory_lock_shared(%s, hashtext(%s))",
    False: "SELECT pg_try_advisory_lock(%s, hashtext(%s))",
}
_UNLOCK = "SELECT pg_advisory_unlock(%s, hashtext(%s))"
_FREE = "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s))"
_TABLE, _GATE = 0x4EAD, 0x4EAE

_OWN_GHOST_TRIES, _OWN_GHOST_PAUSE_S = 120, 0.5

_SESSION = """
SELECT set_config('idle_session_timeout', '0', false), set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)
"""
"""The session is idle for as long as the run takes; keepalives let the server notice soon when the run's machine is
gone."""

_HOLDERS = """
SELECT DISTINCT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = ANY(%s::oid[]) AND l.objid = hashtext(%s)::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.granted AND a.pid <> pg_backend_pid()
"""

_HELD = """
SELECT count(*) FROM pg_locks l
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = %s::oid AND l.objid = hashtext(%s)::oid
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.granted AND l.pid = pg_backend_pid()
"""


def is_unlocked(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether no run holds the table. If so, none can get it until the caller's transaction ends."""
    return connection.execute(_FREE, (_TABLE, _name(table))).fetchone() == (True,)


def _name(table: str) -> str:
    return ".".join(split_name(table))


class TargetLock:
    """The lock of one run on one table (`schema.table`); `shared` with other runs that only append."""

    def __init__(self, database: Database, table: str, run_id: str, *, shared: bool) -> None:
        self.table, self.shared = _name(table), shared
        self._database, self._run_id = database, run_id
        self._connection: psycopg.Connection[Any] | None = None
        self._at_gate = False
        self._alone = threading.RLock()  # publications use it from several threads

    def acquire(self) -> str | None:
        """Tries once. Returns None if the lock is held now, else the runs that hold the table or wait before this one,
        as `run_…, run_…` (or `another run`). Raises TargetError if the database cannot be reached."""
        with self._alone:
            try:
                return self._try(self._connected())
            except psycopg.Error as error:
                self.release()
                raise TargetError(
                    "database_unreachable", f"The target database cannot be reached: {first_line(error)}"
                ) from error

    def held(self) -> bool:
        """Whether the lock is still held: a restarted server has lost it. Takes it again if no other run holds it or
        waits for it."""
        with self._alone:
            if self._connection is not None and not self._connection.closed:
                try:
                    if self._connection.execute(_HELD, (_TABLE, self.table)).fetchone() == (1,):
                        return True
                except psycopg.Error:
                    pass  # the connection is lost, and the lock with it; it is acquired again below
            self.release()
            for _ in range(_OWN_GHOST_TRIES):
                holders = self.acquire()
                if holders != self._run_id:
                    return holders is None
                time.sleep(_OWN_GHOST_PAUSE_S)  # the server has not noticed yet that the old connection is gone
            return False

    def release(self) -> None:
        """Releases the lock."""
        with self._alone:
            if self._connection is not None:
                with suppress(psycopg.Error):  # otherwise it is released only when the server notices the disconnect
                    self._connection.execute("SELECT pg_advisory_unlock_all()")
                self._connection.close()
            self._connection, self._at_gate = None, False

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self.release()
            name = f"headrace {self._run_id}"
            self._connection = connect(self._database, autocommit=True, connect_timeout=10, application_name=name)
            self._connection.execute(_SESSION)
        return self._connection

    def _try(self, connection: psycopg.Connection[Any]) -> str | None:
        if not self._at_gate:
            self._at_gate = connection.execute(_TRY[False], (_GATE, self.table)).fetchone() == (True,)
        if self._at_gate and connection.execute(_TRY[self.shared], (_TABLE, self.table)).fetchone() == (True,):
            connection.execute(_UNLOCK, (_GATE, self.table))
            self._at_gate = False
            return None
        before = [_TABLE] if self._at_gate else [_TABLE, _GATE]
        holders = [str(name) for (name,) in connection.execute(_HOLDERS, (before, self.table))]
        return ", ".join(sorted(name.removeprefix("headrace ") for name in holders)) or "another run"
