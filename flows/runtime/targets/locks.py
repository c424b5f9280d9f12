"""Locks on the target tables of a run, taken before planning: runs that would conflict are run one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.connectors.postgresql.locks.load_lock import TargetLock
from headrace.connectors.postgresql.modes import MODES
from headrace.flows.runtime.input.sources import parsed
from headrace.flows.runtime.job import Job
from headrace.ir.nodes import TargetNode


class TargetLocks:
    """All table locks of a run, taken in the order of the tables' names to avoid deadlocks."""

    def __init__(self, job: Job) -> None:
        modes: dict[str, bool] = {}
        for node in parsed(job).nodes:
            if isinstance(node, TargetNode):
                # Two runs that restage at the same time would drop each other's staged rows.
                shared = not (MODES[node.load_mode].exclusive or job.continues.anew)
                modes[node.table] = modes.get(node.table, True) and shared
        self._locks: Mapping[str, TargetLock] = {
            table: TargetLock(job.database_url, table, job.run_id, shared=shared)
            for table, shared in sorted(modes.items())
        }
        self._held: set[str] = set()

    def acquire(self) -> str | None:
        """Tries to take the locks that are not held yet. Returns None when all are held, else a sentence that names the
        run that holds one. Raises TargetError when the database is unreachable."""
        for table, lock in self._locks.items():
            if table not in self._held:
                if (holder := lock.acquire()) is not None:
                    return f"waits for {holder}, which loads into {table}"
                self._held.add(table)
        return None

    @property
    def alone(self) -> tuple[str, ...]:
        """The tables that this run has locked exclusively."""
        return tuple(table for table in self._held if not self._locks[table].shared)

    def held(self, table: str) -> bool:
        """Whether this run still holds the lock on the table; a server restart releases all locks."""
        return self._locks[table].held()

    def release(self) -> None:
        """Releases all locks."""
        for lock in self._locks.values():
            lock.release()
        self._held.clear()
