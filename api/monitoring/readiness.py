"""Readiness check of the database and Prefect, in a thread of its own.

It must answer also while all request threads are busy. Calls that arrive during a check share the next one."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.engine import current_of, head
from headrace.deployments.prefect.orchestrator import OrchestratorAway, OrchestratorRefused
from headrace.ir.problems import Problem


class PrefectStatus(Protocol):
    """The methods of `deployments.prefect.orchestrator.Orchestrator` that the check calls."""

    def healthy(self) -> bool: ...

    def served(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """Result of a check. `worker`: ok, away, `no work pool` or unknown; runs wait while there is no worker."""

    problems: tuple[Problem, ...]
    worker: str


class Readiness:
    """Checks the database and Prefect."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._looked_at = float("-inf")
        self._found = ReadinessReport((), "unknown")

    async def look(self, prefect: PrefectStatus) -> ReadinessReport:
        """The result of a check that began after this call."""
        asked_at = time.monotonic()
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, prefect, asked_at)

    def _look(self, prefect: PrefectStatus, asked_at: float) -> ReadinessReport:
        if self._looked_at < asked_at:
            self._looked_at = time.monotonic()
            answers = prefect.healthy()
            problems = self._database() + ([] if answers else [_PREFECT_UNAVAILABLE])
            self._found = ReadinessReport(tuple(problems), _worker(prefect) if answers else "unknown")
        return self._found

    def _database(self) -> list[Problem]:
        try:
            if current_of(self._engine) != head():
                hint = "run: headrace db upgrade"
                return [Problem("database", "not_migrated", "The database is not at the newest migration", hint)]
        except SQLAlchemyError:
            return [Problem("database", "away", "The database cannot be reached")]
        return []


def _worker(prefect: PrefectStatus) -> str:
    try:
        return "ok" if prefect.served() else "away"
    except OrchestratorRefused:
        return "no work pool"
    except OrchestratorAway:
        return "unknown"


_PREFECT_UNAVAILABLE = Problem("prefect", "away", "Prefect cannot be reached")
