"""A connection that is opened again after the server failed for a moment, and what such a failure means for a load."""

from __future__ import annotations

import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self, TypeVar

import psycopg

from connectors.base import CommitCallback, Resume, TargetError, Written
from connectors.postgresql.copy import is_transient
from connectors.postgresql.ledger import LedgerKey, move_ledger, read_ledger
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.tables import first_line

T = TypeVar("T")


class Session:
    """One connection to the target database, used from one thread. `sleep` waits between attempts (seconds)."""

    def __init__(self, spec: LoadSpec, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._spec, self._sleep = spec, sleep
        self._connection: psycopg.Connection[Any] | None = None

    def connection(self) -> psycopg.Connection[Any]:
        """The open connection; a new one where there is none or it broke."""
        if self._connection is None or self._connection.closed or self._connection.broken:
            # Prepared statements would outlive changes of the table, and are of no use to COPY.
            self._connection = psycopg.connect(self._spec.database_url, prepare_threshold=None, connect_timeout=10)
        return self._connection

    def close(self) -> None:
        """Closes it; what was not committed is rolled back by the server."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def persistently(self, action: Callable[[], T]) -> T:
        """Does it again after transient errors, with growing pauses; raises TargetError when it cannot go on."""
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
                        "What is committed is kept; a retry continues behind it.",
                    ) from error
                self._sleep(retry.pause(attempt) * random.uniform(0.75, 1.25))  # noqa: S311 - spreads retries apart
        raise AssertionError("attempts is at least 1")


class SessionLoader(ABC):
    """The part of a `PartitionLoader` that is the same wherever its rows go: a session while it is entered, and where
    the partition stands."""

    def __init__(self, spec: LoadSpec, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.resume = Resume()
        self._spec = spec
        self._session = Session(spec, sleep=sleep)

    def __enter__(self) -> Self:
        try:
            self._session.persistently(self._open)
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
        """Commits what `beside` writes together with the ledger row, as often as it takes, and once. `stored` makes the
        row that is written of the one the caller goes on with."""
        before = self.resume
        moved: list[Resume] = []

        def commit() -> Written:
            connection = self._session.connection()
            # A commit whose answer was lost is found here by the next attempt.
            if moved and read_ledger(connection, key).rows_done == moved[-1].rows_done:
                connection.commit()
                self.resume = moved[-1]
                return written
            with connection.transaction():
                after = on_commit(written)
                beside(connection, after)
                if not move_ledger(connection, key, before, stored(after)):
                    raise TargetError(
                        "ledger_moved",
                        f"Partition {key.partition + 1} of this run is being read by somebody else.",
                        "Another worker took it over; this one stops.",
                    )
                moved.append(after)
            self.resume = after
            return written

        return self._session.persistently(commit)

    @abstractmethod
    def _open(self) -> None:
        """Gets ready, with the session's connection; may be called again after a transient error. Sets `resume`."""
