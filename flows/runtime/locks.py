"""The tables of a run, taken before it plans: two runs that would disturb each other go one behind the other."""

from __future__ import annotations

from collections.abc import Mapping

from connectors.postgresql.lock import TargetLock
from connectors.postgresql.modes import MODES
from flows.runtime.job import Job
from flows.runtime.prepare import parsed
from ir.nodes import TargetNode


class TargetLocks:
    """All locks of a run, always taken in the same order, so that two runs never wait for each other."""

    def __init__(self, job: Job) -> None:
        modes: dict[str, bool] = {}
        for node in parsed(job).nodes:
            if isinstance(node, TargetNode):
                # Two that stage anew side by side would each drop what the other has staged.
                shared = not (MODES[node.load_mode].exclusive or job.continues.anew)
                modes[node.table] = modes.get(node.table, True) and shared
        self._locks: Mapping[str, TargetLock] = {
            table: TargetLock(job.database_url, table, job.run_id, shared=shared)
            for table, shared in sorted(modes.items())
        }
        self._held: set[str] = set()

    def acquire(self) -> str | None:
        """Tries to take what is not held yet. None: everything is; else who is waited for, as a sentence. Raises
        TargetError when the database is away."""
        for table, lock in self._locks.items():
            if table not in self._held:
                if (holder := lock.acquire()) is not None:
                    return f"waits for {holder}, which loads into {table}"
                self._held.add(table)
        return None

    @property
    def alone(self) -> tuple[str, ...]:
        """The tables that this run has for itself."""
        return tuple(table for table in self._held if not self._locks[table].shared)

    def held(self, table: str) -> bool:
        """Whether this run still has the table; a server that restarts forgets who had what."""
        return self._locks[table].held()

    def release(self) -> None:
        """Lets go of all."""
        for lock in self._locks.values():
            lock.release()
        self._held.clear()
