"""Ports are checked before anything starts, so that a used one is reported at once."""

from __future__ import annotations

import ipaddress
import socket

from headrace.deployments.errors import HeadraceError


def choose_port(host: str, port: int, flag: str, *, besides: int | None = None) -> int:
    """`port` if it can be bound on `host`, or a free one for 0. Raises StackError with the port and the `flag`."""
    if port != 0 and port == besides:
        raise HeadraceError(f"Port {port} is wanted twice.", f"Choose another with {flag} (0 picks a free one).")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise HeadraceError(f"{host!r} is not an address of this machine ({error.strerror}).") from None
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            if port == 0:
                raise HeadraceError(f"Cannot listen on {host}: {error.strerror}.") from None
            raise HeadraceError(
                f"Port {port} on {host} cannot be used: {error.strerror}.",
                f"Choose another with {flag} (0 picks a free one).",
            ) from None
        found = int(probe.getsockname()[1])
    return choose_port(host, 0, flag, besides=besides) if found == besides else found


def free_or_any(host: str, port: int) -> int:
    """`port` if it can be bound on `host`, else 0."""
    try:
        return choose_port(host, port, "")
    except HeadraceError:
        return 0


def http_url(host: str, port: int) -> str:
    """The URL for a client on this machine of a server bound to `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
