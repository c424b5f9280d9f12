"""Shutdown signal: wakes event streams as soon as the server stops."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class ShutdownSignal:
    """Set once, from the event loop of the server."""

    def __init__(self) -> None:
        self.closed = False
        self._waiting: set[asyncio.Future[None]] = set()

    def close(self) -> None:
        """Ends all waits."""
        self.closed = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def within(self, seconds: float) -> bool:
        """Waits for `seconds` or until closed; returns whether it is closed."""
        if self.closed:
            return True
        waiting = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiting
        finally:
            self._waiting.discard(waiting)
        return self.closed
