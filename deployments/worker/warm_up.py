"""Does slow first-time work once, before runs are forked: reading settings, connecting to Prefect."""

from __future__ import annotations

import asyncio
import logging

from prefect import get_client
from prefect.events.clients import get_events_subscriber
from prefect.settings import PREFECT_API_URL

from headrace.catalog.settings import settings

_API_SECONDS = 5.0


def warm_up() -> None:
    """Reads the settings, and queries Prefect for runs and events. Leaves no thread running.

    Failures (Prefect is unavailable, a setting is missing) are logged only: each run tries again and reports them.
    """
    for scene in (settings, _query_prefect):
        try:
            scene()
        except Exception as error:  # noqa: BLE001
            logging.getLogger("prefect.worker").debug("Warm-up of %s failed: %r", scene.__name__, error)


def _query_prefect() -> None:
    if not PREFECT_API_URL.value():
        return  # without an address, a client would start its own server

    async def ask() -> None:
        # Also compares the versions of client and server, once per process including its forks.
        async with asyncio.timeout(_API_SECONDS), get_client() as client:
            await client.read_flow_runs(limit=1)
            async with get_events_subscriber(reconnection_attempts=0):
                pass

    asyncio.run(ask())
    with get_client(sync_client=True) as client:
        client.read_flow_runs(limit=1)
