"""The driver's connections, made to checked addresses only.

The driver opens connections itself: the hosts that it is given, those that an SRV record names, and the members that a
replica set says it has. Each connection comes from its pool, so the pool's connect function is replaced: a name is
resolved once, all its addresses are checked, one of them is connected to, and TLS is made for the name. A driver
without that function is refused."""

from __future__ import annotations

import ipaddress
import logging
from collections import deque
from collections.abc import Sequence
from types import FunctionType
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.address import PORT
from headrace.connectors.network.egress import Network, allowed_addresses, is_allowed

_DIALS = "_configured_socket_interface"
_MOST = 2


class Dialler:
    """Checks addresses and opens connections for one client. `refusals` are the reasons for refused hosts, the newest
    last."""

    def __init__(self, networks: Sequence[Network], *, tls: bool) -> None:
        self._networks, self._tls = networks, tls
        self.refusals: deque[SourceError] = deque(maxlen=8)

    def addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them allowed. Raises SourceError: of the egress rules, and `insecure` for one
        outside the operator's networks without TLS."""
        found = allowed_addresses(host, port, self._networks)
        if not self._tls and any(is_allowed(ipaddress.ip_address(each), ()) for each in found):
            raise SourceError(
                "insecure",
                f"'{host}' would be reached without TLS, so that others could read everything.",
                "Set 'tls' to true in the connector's config, or tls=true in the connection string.",
            )
        return found

    def pool(self) -> type[Any]:
        """The class of pools whose connections are made here. Raises SourceError(`driver_unknown`)."""
        from pymongo.synchronous import pool

        logging.getLogger("pymongo").setLevel(logging.CRITICAL)  # errors are reported by our own messages
        own = pool.Pool.connect
        if _DIALS not in own.__code__.co_names:
            raise SourceError(
                "driver_unknown",
                "This release of pymongo makes its connections in a way that is not known here.",
                "pip install 'headrace[mongodb]'",
            )
        scope = {**vars(pool), _DIALS: self._dial}
        connect = FunctionType(own.__code__, scope, own.__name__, own.__defaults__, own.__closure__)
        return type("CheckedPool", (pool.Pool,), {"connect": connect})

    def _dial(self, address: tuple[str, int | None], options: Any, sessions: Any = None) -> Any:
        """Replaces the driver's function. Raises OSError, which the driver treats as an unreachable host."""
        from pymongo.network_layer import NetworkingInterface
        from pymongo.pool_shared import _create_connection, _wrap_socket_tls

        del sessions  # TLS sessions are not resumed
        host, port = address[0], address[1] or PORT
        try:
            found = self.addresses(host, port)
        except SourceError as error:
            self.refusals.append(error)
            raise OSError(error.message) from None
        problem = OSError("no address")
        for each in found[:_MOST]:
            try:
                connection = _create_connection((each, port), options)
                break
            except OSError as error:
                problem = error
        else:
            raise problem
        if not self._tls:
            connection.settimeout(options.socket_timeout)
            return NetworkingInterface(connection)
        return NetworkingInterface(_wrap_socket_tls(connection, (host, port), options))
