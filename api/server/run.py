"""The HTTP server: the application with connection limits, enough file descriptors, and a stop that ends streams."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import socket
from collections.abc import Callable
from contextlib import suppress

import structlog
from fastapi import FastAPI
from uvicorn import Server

from headrace.api.context import Services
from headrace.api.server.connections import ConnectionLimits, Connections
from headrace.api.server.protocol import MAX_HEAD_BYTES, BoundedProtocol, ServerConfig
from headrace.catalog.settings import Settings

_log = structlog.get_logger("headrace.api")

RESERVED_FILES = 256
"""File descriptors reserved for the database, Prefect, child processes and logs."""
_MIN_CONNECTIONS = 32
_GRACE_S = 5


class FacadeServer(Server):
    """The server of one application, with the limits of its settings."""

    config: ServerConfig

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        """`app` is created by `api.app.create_app`."""
        services: Services = app.state.services
        settings = services.settings
        config = ServerConfig(
            app,
            host=host,
            port=port,
            http=BoundedProtocol,
            ws="none",
            log_config=None,  # keep the application's
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            timeout_graceful_shutdown=_GRACE_S,
        )
        config.connections = Connections(
            connection_limits(settings), refused=services.metrics.refused, trusted=_trusted(settings)
        )
        super().__init__(config)
        self._services = services
        self._watch: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Extends uvicorn's method; also starts the checks of connection time-outs."""
        await super().startup(sockets)
        self._watch = asyncio.create_task(self.config.connections.watch())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Extends uvicorn's method, which waits for requests to end; event streams are ended first."""
        self._services.closing.close()
        try:
            await super().shutdown(sockets)
        finally:
            if self._watch is not None:
                self._watch.cancel()
                with suppress(asyncio.CancelledError):
                    await self._watch


def connection_limits(settings: Settings) -> ConnectionLimits:
    """The connection limits of the settings, lowered to the open files that the process may have."""
    most = _raise_open_files(settings.max_connections)
    return ConnectionLimits(
        most=most,
        per_address=settings.max_connections_per_address or max(most // 2, 1),
        head_s=settings.head_timeout_s,
        idle_s=settings.idle_timeout_s,
        write_s=settings.write_timeout_s,
    )


def _raise_open_files(connections: int) -> int:
    """Raises this process' limit of open files for this many connections; returns how many are possible."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            connections = max(soft - RESERVED_FILES, _MIN_CONNECTIONS)
            _log.warning("too few file descriptors, connections limited", open_files=soft, connections=connections)
    return connections


def _trusted(settings: Settings) -> Callable[[str], bool]:
    def trusted(address: str) -> bool:
        if not settings.trusted_proxies:
            return False
        try:
            found = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(found in network for network in settings.trusted_proxies)

    return trusted
