"""Which addresses connectors may connect to: the public internet, and networks that the operator allows.

A server that connects to hosts its users name can be used to reach its own network (SSRF): cloud metadata, its
database, its Prefect server. So a name is resolved once, all its addresses are checked, and the connection is made to
one of those. Public means: IPv4 outside the special-purpose networks, and IPv6 in the global unicast space, except
addresses that embed an IPv4 address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence

from headrace.connectors.errors import SourceError

IPv4, IPv6 = ipaddress.IPv4Address, ipaddress.IPv6Address
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")

METADATA: frozenset[Address] = frozenset(
    map(
        ipaddress.ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean, ...
            *("169.254.170.2", "169.254.170.23"),  # credentials of ECS tasks and EKS pods
            *("169.254.169.123", "169.254.169.250", "169.254.169.251", "169.254.169.253"),  # other services of AWS
            *("169.254.42.42", "169.254.0.23"),  # Scaleway, Tencent
            *("100.100.100.200", "168.63.129.16", "192.0.0.192"),  # Alibaba, Azure's WireServer, Oracle
            *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "fe80::a9fe:a9fe", "fd00:42::42"),  # over IPv6
        ),
    )
)
"""Cloud metadata addresses that hand out credentials. An operator's network does not include them, unless it is exactly
that address."""

_SPECIAL: tuple[Network, ...] = tuple(
    map(
        ipaddress.ip_network,
        (
            # IANA's special-purpose registries, in full: Python's own list differs between releases.
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),
            *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
        ),
    )
)
_GLOBAL = ipaddress.IPv6Network("2000::/3")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED = ipaddress.IPv6Network("::ffff:0:0:0/96")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.IPv6Network("64:ff9b:1::/48")
"""In this prefix the position of the IPv4 address depends on the network (RFC 8215), so it cannot be checked."""
_ISATAP = (0x00005EFE, 0x02005EFE)


def allowed_addresses(host: str, port: int, networks: Sequence[Network]) -> list[str]:
    """The addresses of `host`, in the resolver's order, all of them allowed.

    Raises SourceError: `bad_host` (not a host name), `unknown_host`, or `address_refused` if any of its addresses is
    neither public nor in `networks`.
    """
    literal = _literal(host)
    addresses = [literal] if literal is not None else _resolved(host, port)
    for address in addresses:
        if not is_allowed(address, networks):
            raise SourceError(
                "address_refused",
                f"'{host}' is at {address}, an address inside the server's network that connectors may not reach.",
                f'The operator can allow it: HEADRACE_CONNECTOR_NETWORKS=["{address}"].',
            )
    return [str(address) for address in dict.fromkeys(addresses)]


def is_allowed(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address is public or in one of the operator's networks; an address in METADATA only if it is listed
    itself. For an IPv6 address that embeds an IPv4 address, the IPv4 address is checked, because packets arrive
    there."""
    inside = _embedded(address) if isinstance(address, IPv6) else ()
    known = tuple(networks)
    if any(network.num_addresses == 1 and network[0] in (address, *inside) for network in known):
        return True
    if METADATA & {address, *inside} or address in _LOCAL_NAT64:
        return False
    if inside:
        named = any(address in network for network in known)
        return all(any(each in network for network in known) or (named and _is_public(each)) for each in inside)
    return _is_public(address) or any(address in network for network in known)


def _literal(host: str) -> Address | None:
    """The address, if the host is one; None for a name. Raises SourceError for anything else, and for spellings of an
    address that others may read differently (`127.1`, `0x7f000001`, `2130706433`, a zone)."""
    text = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        if not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
            hint = "Give one host name, or one IP address as it is usually written."
            raise SourceError("bad_host", f"'{host[:253]}' is not a host.", hint) from None
        return None
    if "%" in text:
        raise SourceError(
            "bad_host", f"'{host[:253]}' is not a host.", "An address with a zone cannot be connected to."
        )
    return address


def _resolved(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]
    except (OSError, ValueError):  # UnicodeError is a ValueError
        raise SourceError("unknown_host", f"The host '{host}' cannot be found.", "Check its name.") from None


def _is_public(address: Address) -> bool:
    if address in METADATA or any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and (isinstance(address, IPv4) or address in _GLOBAL)


def _embedded(address: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address embeds; usually none."""
    number = int(address)
    if address.teredo is not None:
        return address.teredo
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if (number >> 32 & 0xFFFFFFFF) in _ISATAP:
        return (IPv4(number & 0xFFFFFFFF),)
    if number > 1 and any(address in each for each in (_COMPATIBLE, _MAPPED, _TRANSLATED, _NAT64)):
        return (IPv4(number & 0xFFFFFFFF),)
    return ()
