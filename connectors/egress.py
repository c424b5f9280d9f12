"""Which addresses a connector may dial: the public internet, and the networks the operator allows besides.

A server that dials where its users say is a way into its own network (SSRF): to its cloud's metadata, its database, its
Prefect. So a name is resolved once, every address it has is checked, and the connection is made to one of those.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from connectors.base import SourceError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


def allowed_addresses(host: str, port: int, networks: Sequence[Network]) -> list[str]:
    """The addresses of `host` to dial, in the resolver's order, all of them allowed.

    Raises SourceError: `bad_host` (no network name), `unknown_host`, or `address_refused` when one of its addresses is
    neither public nor in `networks`.
    """
    literal = _literal(host)
    if literal is None and not _HOST.fullmatch(host):
        raise SourceError("bad_host", f"'{host[:253]}' is not a host.", "Give one host name or IP address.")
    addresses = [literal] if literal is not None else _resolved(host, port)
    for address in addresses:
        if not _is_public(address) and not _is_in(address, networks):
            raise SourceError(
                "address_refused",
                f"'{host}' is at {address}, an address inside the server's network that connectors may not reach.",
                f'The operator can allow it: HEADRACE_CONNECTOR_NETWORKS=["{address}"].',
            )
    return [str(address) for address in dict.fromkeys(addresses)]


def _literal(host: str) -> Address | None:
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return address


def _resolved(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise SourceError("unknown_host", f"The host '{host}' cannot be found.", "Check its name.") from None
    return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def _is_public(address: Address) -> bool:
    return address.is_global and not address.is_multicast and _embedded(address) is None


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    embedded = _embedded(address)
    return any(each in network for each in (address, embedded) if each is not None for network in networks)


def _embedded(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), which is where a packet would arrive."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
