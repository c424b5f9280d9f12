"""Liveness of a run whose partitions run in other processes: an advisory lock held by the run's process.

PostgreSQL releases the lock when that process ends in any way, so partitions do not continue for a run that has ended.
Processes with partitions hold a second, shared lock, by which the run's process sees that none of them writes any more.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from headrace.connectors.postgresql.connections import connect

_WANTED, _WORKS = 0x4EB0, 0x4EB1
LOOK_S = 1.0
"""The interval in seconds at which both sides check the lock of the other."""

_MISSING_S = 3.0
"""The time in seconds for which the lock may be missing: a server restart releases it, and the run takes it again."""

_SESSION = """
SELECT set_config('idle_session_timeout', '0', false), set_config('tcp_keepalives_idle', '30', false),
       set_config('tcp_keepalives_interval', '10', false), set_config('tcp_keepalives_count', '3', false)
"""
_LOCK = "SELECT pg_try_advisory_lock(%s, %s)"
_HELD = """
SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
  AND classid = %s::int::oid AND objid = %s::int::oid
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


class Heartbeat:
    """The lock of the run's process. `token` identifies the run and is passed to every partition."""

    def __init__(self, database_url: str) -> None:
        self.token = secrets.randbelow(2**31)
        self._url = database_url
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._stopped = False
        self._alone = threading.Lock()  # a concurrent beat must not take the lock again after stop

    def beat(self) -> None:
        """Takes the lock, again after a server restart. Must be called every `LOOK_S` seconds. Raises psycopg.Error."""
        with self._alone:
            if self._stopped:
                return
            if self._connection is None or self._connection.closed:
                self._connection = _connect(self._url)
                self._connection.execute(_LOCK, (_WANTED, self.token))
            self._connection.execute("SELECT")

    def stop(self) -> None:
        """Releases the lock permanently; processes with partitions of the run notice within seconds."""
        with self._alone:
            self._stopped = True
            if self._connection is not None:
                with suppress(psycopg.Error):  # otherwise the server releases it when the connection ends
                    self._connection.execute("SELECT pg_advisory_unlock_all()")
                self._connection.close()
                self._connection = None

    def workers_idle(self) -> bool:
        """Whether no other process works on a partition. Raises psycopg.Error."""
        with _connect(self._url) as connection:
            return connection.execute(_HELD, (_WORKS, self.token)).fetchone() == (False,)


class HeartbeatWatch:
    """In a process that works on partitions of a run: a thread that checks that the run is alive, and that holds the
    shared lock while there is work."""

    def __init__(self, database_url: str, token: int, on_end: Callable[[], None]) -> None:
        """`on_end` is called once, from the thread, when the run has ended."""
        self._url, self._token, self._on_end = database_url, token, on_end
        self._at_work = 0
        self._change = threading.Lock()
        self.over = False

    def begin(self) -> bool:
        """Starts the thread; returns False when the run has already ended. Raises psycopg.Error."""
        connection = _connect(self._url)
        shared = "SELECT pg_advisory_lock_shared(%s, %s)"
        connection.execute(shared, (_WORKS, self._token))
        if connection.execute(_HELD, (_WANTED, self._token)).fetchone() == (False,):
            connection.close()
            self.over = True
            return False
        threading.Thread(target=self._watch, args=[connection], name="run-watch", daemon=True).start()
        return True

    def __enter__(self) -> HeartbeatWatch:
        """Enter around the work on a partition."""
        with self._change:
            self._at_work += 1
        return self

    def __exit__(self, *exc: object) -> None:
        with self._change:
            self._at_work -= 1

    def _watch(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        seen = time.monotonic()
        while time.monotonic() - seen < _MISSING_S:
            time.sleep(LOOK_S)
            try:
                if connection.closed:
                    connection = _connect(self._url)
                    connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (_WORKS, self._token))
                if connection.execute(_HELD, (_WANTED, self._token)).fetchone() == (True,):
                    seen = time.monotonic()
            except psycopg.OperationalError:
                seen = max(seen, time.monotonic() - _MISSING_S / 2)  # unknown: partitions detect that themselves
        self.over = True
        self._on_end()
        while self._at_work:  # each partition ends after its current batch
            time.sleep(LOOK_S / 10)
        connection.close()


def _connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    connection = connect(url, autocommit=True, connect_timeout=10, application_name="headrace heartbeat")
    connection.execute(_SESSION)
    return connection
