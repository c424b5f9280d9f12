"""Stores deliveries in groups: while one transaction of a webhook is committed, those that arrive wait for the next."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from headrace.api.hooks.known import Hook
from headrace.catalog.hooks.writing import Delivery, Outcome, SpoolLimits, store
from headrace.catalog.settings import Settings

_GROUP = 500
_GROUP_BYTES = 8 << 20
_TIDY_S = 10.0
_Key = tuple[asyncio.AbstractEventLoop, str]


@dataclass(slots=True)
class _Waiting:
    deliveries: deque[tuple[Delivery, asyncio.Future[Outcome]]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class HookWriter:
    """Writes to the spools. A delivery that is cancelled while it waits may be stored nevertheless."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine, self._settings = engine, settings
        self._waiting: dict[_Key, _Waiting] = {}
        self._tidied: dict[str, float] = {}

    async def put(self, hook: Hook, delivery: Delivery) -> Outcome:
        """Stores a delivery; returns when it is on disk, or not accepted. Raises SQLAlchemy's errors."""
        loop = asyncio.get_running_loop()
        key = (loop, hook.id)
        waiting = self._waiting.setdefault(key, _Waiting())
        stored: asyncio.Future[Outcome] = loop.create_future()
        waiting.deliveries.append((delivery, stored))
        if waiting.task is None:
            waiting.task = loop.create_task(self._write(key, hook))
        return await stored

    async def _write(self, key: _Key, hook: Hook) -> None:
        waiting = self._waiting[key].deliveries
        try:
            while waiting:
                group: list[tuple[Delivery, asyncio.Future[Outcome]]] = []
                size = 0
                while waiting and len(group) < _GROUP and size < _GROUP_BYTES:
                    group.append(waiting.popleft())
                    size += len(group[-1][0].body)
                await self._store(hook, group)
        finally:
            del self._waiting[key]

    async def _store(self, hook: Hook, group: Sequence[tuple[Delivery, asyncio.Future[Outcome]]]) -> None:
        settings = self._settings
        limits = SpoolLimits(
            settings.max_hook_records, settings.max_hook_bytes, settings.max_hook_keys, hook.config.keep_keys_hours
        )
        given = [delivery for delivery, _ in group]
        try:
            tidy = self._tidies(hook.id)
            outcomes = await run_in_threadpool(store, self._engine, hook.id, given, limits, tidy=tidy)
        except Exception as error:  # noqa: BLE001 - each request answers with it
            for _, stored in group:
                if not stored.done():
                    stored.set_exception(error)
            return
        for (_, stored), outcome in zip(group, outcomes, strict=True):
            if not stored.done():  # its client is gone
                stored.set_result(outcome)

    def _tidies(self, hook_id: str) -> bool:
        """Whether it is time to remove old keys of a webhook."""
        now = time.monotonic()
        if now - self._tidied.get(hook_id, float("-inf")) < _TIDY_S:
            return False
        if len(self._tidied) > 10_000:
            self._tidied.clear()
        self._tidied[hook_id] = now
        return True
