"""What costs a process time only the first time, done once before runs are forked off: they have it behind them."""

from __future__ import annotations

import asyncio
import logging

from prefect import get_client
from prefect.events.clients import get_events_subscriber
from prefect.settings import PREFECT_API_URL

from catalog.settings import settings

_API_SECONDS = 5.0


def rehearse() -> None:
    """Reads the settings, asks Prefect for runs and events. Leaves no thread behind.

    What cannot be done (Prefect is away, a setting is missing) the runs try again, and say so.
    """
    for scene in (settings, _ask):
        try:
            scene()
        except Exception as error:  # noqa: BLE001
            logging.getLogger("prefect.worker").debug("No rehearsal of %s: %r", scene.__name__, error)


def _ask() -> None:
    if not PREFECT_API_URL.value():
        return  # a client would start a server of its own

    async def ask() -> None:
        # Compares the versions of client and server, too: once in the life of a process and its forks.
        async with asyncio.timeout(_API_SECONDS), get_client() as client:
            await client.read_flow_runs(limit=1)
            async with get_events_subscriber(reconnection_attempts=0):
                pass

    asyncio.run(ask())
    with get_client(sync_client=True) as client:
        client.read_flow_runs(limit=1)
