"""A connection that reconnects after transient errors, and the base of partition loaders."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self, TypeVar

import psycopg

from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.connections import connect
from headrace.connectors.postgresql.copy.copy_rows import is_transient
from headrace.connectors.postgresql.ledger.partitions import LedgerKey, advance_ledger, read_ledger
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.postgresql.tables.describe import first_line
from headrace.connectors.target import CommitCallback, Resume, Written

T = TypeVar("T")


class Session:
    """One connection to the target database, used from one thread. `sleep` waits between attempts (seconds)."""

    def __init__(self, spec: LoadSpec, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._spec, self._sleep = spec, sleep
        self._connection: psycopg.Connection[Any] | None = None

    def connection(self) -> psycopg.Connection[Any]:
        """The open connection; reconnects if it is closed or broken."""
        if self._connection is None or self._connection.closed or self._connection.broken:
            # Prepared statements would break when the table is altered, and do not help COPY.
            self._connection = connect(self._spec.database_url, prepare_threshold=None, connect_timeout=10)
        return self._connection

    def close(self) -> None:
        """Closes the connection; the server rolls back what was not committed."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def with_retries(self, action: Callable[[], T]) -> T:
        """Calls `action` again after transient errors, with growing pauses. Raises TargetError if it fails for good."""
        retry = self._spec.retry
        for attempt in range(1, retry.attempts + 1):
            try:
                return action()
            except psycopg.Error as error:
                self.close()
                if not is_transient(error):
                    code = "refused" if error.sqlstate and error.sqlstate[:2] != "42" else "not_permitted"
                    raise TargetError(
                        code, f"The database refused the load into {self._spec.table}: {first_line(error)}"
                    ) from error
                if attempt == retry.attempts:
                    raise TargetError(
                        "database_unavailable",
                        f"The target database failed {attempt} times in a row, last with: {first_line(error)}",
                        "What is committed is kept; a retry continues after it.",
                    ) from error
                self._sleep(retry.pause(attempt) * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries apart
        raise AssertionError("attempts is at least 1")


class SessionLoader(ABC):
    """The common part of a `PartitionLoader`: a session while it is entered, and `resume`."""

    def __init__(self, spec: LoadSpec, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.resume = Resume()
        self._spec = spec
        self._session = Session(spec, sleep=sleep)

    def __enter__(self) -> Self:
        try:
            self._session.with_retries(self._open)
        except BaseException:
            self._session.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._session.close()

    def _commit(
        self,
        key: LedgerKey,
        written: Written,
        on_commit: CommitCallback,
        beside: Callable[[psycopg.Connection[Any], Resume], None],
        stored: Callable[[Resume], Resume] = lambda after: after,
    ) -> Written:
        """Commits what `beside` writes together with the ledger row, exactly once, with retries. `stored` turns the
        ledger row the caller continues with into the one that is written."""
        before = self.resume
        moved: list[Resume] = []

        def commit() -> Written:
            connection = self._session.connection()
            # A commit whose answer was lost is found here by the next attempt.
            if moved and read_ledger(connection, key).version == moved[-1].version:
                connection.commit()
                self.resume = moved[-1]
                return written
            with connection.transaction():
                after = replace(on_commit(written), version=before.version + 1)
                beside(connection, after)
                if not advance_ledger(connection, key, before, stored(after)):
                    raise TargetError(
                        "ledger_moved",
                        f"Partition {key.partition + 1} of this run is being read by another process.",
                        "Another worker took it over; this one stops.",
                    )
                moved.append(after)
            self.resume = after
            return written

        return self._session.with_retries(commit)

    @abstractmethod
    def _open(self) -> None:
        """Prepares the loader on the session's connection and sets `resume`; called again after a transient error."""
