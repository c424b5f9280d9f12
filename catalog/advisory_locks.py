"""Advisory locks of PostgreSQL, by name. A lock is released with the connection of its holder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

DEPLOYMENT_LOCKS = 0x6465706C  # "depl"
RETRY_LOCKS = 0x72747279  # "rtry"
REPLICATION_LOCKS = 0x7265706C  # "repl"

_HOLDERS = threading.BoundedSemaphore(8)
"""A holder uses a connection and needs a second one: the number of holders is limited so that the pool is not
exhausted."""


class LockTimeout(Exception):
    """The lock was held elsewhere for longer than the engine lets a statement wait."""


@contextmanager
def advisory_lock(engine: Engine, space: int, name: str, *, wait: bool) -> Iterator[bool]:
    """Holds the lock `name` in one of the spaces above. Yields False if it is held elsewhere and `wait` is false. No
    row is locked. Raises LockTimeout."""
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    key = {"space": space, "name": name}
    with _HOLDERS, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        try:
            got = connection.scalar(text(f"SELECT {function}(:space, hashtext(:name))"), key)
        except OperationalError as error:
            if isinstance(error.orig, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
                raise LockTimeout(f"the lock of {name} was not released in time") from error
            raise
        if got is False:
            yield False
            return
        try:
            yield True
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:space, hashtext(:name))"), key)
