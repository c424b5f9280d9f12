"""Whether a run is still wanted, for its partitions in other processes: an advisory lock that the run's process holds.

It goes when that process does, however it ends, so partitions never work for a run that nobody watches any more. They
hold a lock of their own while they work, by which the run's process knows that none of them writes any more.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

_WANTED, _WORKS = 0x4EB0, 0x4EB1
LOOK_S = 1.0
"""How often either side looks at the other."""

_MISSING_S = 3.0
"""For so long the lock may be missing: a server that restarts forgets it, and the run's process takes it again."""

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


class Pulse:
    """The run's side. `token` is its name, told to every partition."""

    def __init__(self, database_url: str) -> None:
        self.token = secrets.randbelow(2**31)
        self._url = database_url
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._stopped = False
        self._alone = threading.Lock()  # a beat that is on its way must not come behind the stop

    def beat(self) -> None:
        """Takes the lock, and again where the database forgot it; call it every `LOOK_S`. Raises psycopg.Error."""
        with self._alone:
            if self._stopped:
                return
            if self._connection is None or self._connection.closed:
                self._connection = _connected(self._url)
                self._connection.execute(_LOCK, (_WANTED, self.token))
            self._connection.execute("SELECT")

    def stop(self) -> None:
        """The run is not wanted any more, for good; who works for it notices within seconds."""
        with self._alone:
            self._stopped = True
            if self._connection is not None:
                with suppress(psycopg.Error):  # else it is free when the server notices the end
                    self._connection.execute("SELECT pg_advisory_unlock_all()")
                self._connection.close()
                self._connection = None

    def nobody_works(self) -> bool:
        """Whether no partition is being worked on any more. Raises psycopg.Error."""
        with _connected(self._url) as connection:
            return connection.execute(_HELD, (_WORKS, self.token)).fetchone() == (False,)


class Watch:
    """The side of a process that works on partitions of a run: a thread that looks whether the run is wanted, and shows
    that there is work for as long as there is."""

    def __init__(self, database_url: str, token: int, on_end: Callable[[], None]) -> None:
        """`on_end` is called once, from the thread, when the run is over."""
        self._url, self._token, self._on_end = database_url, token, on_end
        self._at_work = 0
        self._change = threading.Lock()
        self.over = False

    def begin(self) -> bool:
        """Starts watching; False when the run is over already. Raises psycopg.Error."""
        connection = _connected(self._url)
        shared = "SELECT pg_advisory_lock_shared(%s, %s)"
        connection.execute(shared, (_WORKS, self._token))
        if connection.execute(_HELD, (_WANTED, self._token)).fetchone() == (False,):
            connection.close()
            self.over = True
            return False
        threading.Thread(target=self._watch, args=[connection], name="run-watch", daemon=True).start()
        return True

    def __enter__(self) -> Watch:
        """Around the work on a partition."""
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
                    connection = _connected(self._url)
                    connection.execute("SELECT pg_advisory_lock_shared(%s, %s)", (_WORKS, self._token))
                if connection.execute(_HELD, (_WANTED, self._token)).fetchone() == (True,):
                    seen = time.monotonic()
            except psycopg.OperationalError:
                seen = max(seen, time.monotonic() - _MISSING_S / 2)  # not known: the partitions notice it themselves
        self.over = True
        self._on_end()
        while self._at_work:  # each ends between two batches
            time.sleep(LOOK_S / 10)
        connection.close()


def _connected(url: str) -> psycopg.Connection[tuple[object, ...]]:
    connection = psycopg.connect(url, autocommit=True, connect_timeout=10, application_name="headrace pulse")
    connection.execute(_SESSION)
    return connection
