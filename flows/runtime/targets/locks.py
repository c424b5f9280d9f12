"""Locks on the target tables of a run, taken before planning: runs that would conflict are run one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.connectors.postgresql.connections import Database, key_of
from headrace.connectors.postgresql.identity import Identity
from headrace.connectors.postgresql.locks.load_lock import TargetLock
from headrace.connectors.postgresql.modes import MODES
from headrace.flows.runtime.databases import identities
from headrace.flows.runtime.input.sources import parsed
from headrace.flows.runtime.job import Job
from headrace.ir.nodes import TargetNode

_Place = tuple[str, str]
"""The key of a database, and the table."""

_ONLY = Identity("", 0, "")


class TargetLocks:
    """All table locks of a run, each in the database of its table, taken in the order of databases and tables to avoid
    deadlocks: the order of what databases are, not of the connectors that runs name them by."""

    def __init__(self, job: Job) -> None:
        modes: dict[_Place, bool] = {}
        databases = job.databases
        for node in parsed(job).nodes:
            if isinstance(node, TargetNode):
                # Two runs that restage at the same time would drop each other's staged rows.
                # Rows that two replays send are there twice.
                alone = job.continues.replays and node.connector is not None
                shared = not (MODES[node.load_mode].exclusive or job.continues.reloads or alone)
                place = (key_of(databases.by_target[node.id]), node.table)
                modes[place] = modes.get(place, True) and shared
        by_key = {key_of(each): each for each in databases.all}
        self._locks: Mapping[_Place, TargetLock] = {
            (key, table): TargetLock(by_key[key], table, job.run_id, shared=shared)
            for (key, table), shared in modes.items()
        }
        self._databases = databases
        self._in_order: Sequence[_Place] = ()
        self._held: set[_Place] = set()

    def acquire(self) -> str | None:
        """Tries to take the locks that are not held yet. Returns None when all are held, else a sentence that names the
        run that holds one. Raises TargetError when a database is unreachable, or is named in two ways."""
        for place in self._ordered():
            if place not in self._held:
                if (holder := self._locks[place].acquire()) is not None:
                    return f"waits for {holder}, which loads into {place[1]}"
                self._held.add(place)
        return None

    def _ordered(self) -> Sequence[_Place]:
        if not self._in_order:
            known = identities(self._databases)
            self._in_order = sorted(self._locks, key=lambda place: (known.get(place[0], _ONLY), place[1]))
        return self._in_order

    def alone(self, database: Database) -> tuple[str, ...]:
        """The tables of a database that this run has locked exclusively."""
        key = key_of(database)
        return tuple(place[1] for place in self._held if place[0] == key and not self._locks[place].shared)

    def held(self, database: Database, table: str) -> bool:
        """Whether this run still holds the lock on the table; a server restart releases all locks."""
        return self._locks[key_of(database), table].held()

    def release(self) -> None:
        """Releases all locks."""
        for lock in self._locks.values():
            lock.release()
        self._held.clear()
