"""Periodic work of a process in a thread, which outlives failures of Prefect and of the database."""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError

from headrace.deployments.prefect.orchestrator import OrchestratorAway

_log = structlog.get_logger("headrace.background")

_FIRST_PAUSE_S = 2.0
_AWAY_S = 5.0


class BackgroundThread:
    """Calls `step` repeatedly from `start` to `stop`; `step` returns the seconds until its next call."""

    def __init__(self, name: str, step: Callable[[], float]) -> None:
        self._name, self._step = name, step
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread after the current step; waits at most 20 s."""
        self._stop.set()
        self._thread.join(timeout=20)

    def _run(self) -> None:
        pause = _FIRST_PAUSE_S
        while not self._stop.wait(pause):
            try:
                pause = self._step()
            except OrchestratorAway:  # reported by /readyz
                pause = _AWAY_S
            except SQLAlchemyError as error:
                _log.warning("waits for the database", work=self._name, kind=type(error).__name__)
                pause = _AWAY_S
            except Exception:  # noqa: BLE001 (the thread must survive)
                _log.exception("failed", work=self._name)
                pause = _AWAY_S
