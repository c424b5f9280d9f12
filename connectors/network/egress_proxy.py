"""Local proxies for clients that dial by themselves: they connect only to checked addresses, of one host or of any."""

from __future__ import annotations

import base64
import hmac
import ipaddress
import secrets
import socket
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, allowed_addresses, is_allowed
from headrace.connectors.network.reachability import unreachable
from headrace.connectors.network.web_address import WebAddress

_HEAD_BYTES = 64 << 10
_BLOCK = 256 << 10
_DIAL_S = 10.0
_SILENT_S = 300.0
"""Seconds without data after which a connection is closed."""


class EgressProxy:
    """A proxy to `host:port`; it closes when it is garbage collected. Raises SourceError like `allowed_addresses`."""

    def __init__(self, host: str, port: int, networks: Sequence[Network]) -> None:
        self.addresses = allowed_addresses(host, port, networks)
        listener = _Listener(_OneHost(_authority(host, port), port, tuple(self.addresses)))
        self.url = listener.url
        """The proxy URL for the client, with the password."""
        self.close = weakref.finalize(self, listener.close)
        """Stops listening."""


class CheckedProxy:
    """A proxy to any allowed host, for a client whose server names hosts: each name is resolved once per connection and
    checked, and the connection goes to the checked address. Plain http is allowed only within the operator's networks.
    It closes when it is garbage collected."""

    def __init__(self, networks: Sequence[Network]) -> None:
        places = _CheckedHosts(tuple(networks))
        listener = _Listener(places)
        self.refusals = places.refusals
        """The reasons for refused hosts, the newest last, which the client's errors do not contain."""
        self.unreachable = places.unreachable
        """The same for hosts that could not be connected to."""
        self.password, self.port = listener.password, listener.port
        """The proxy URL with the user name `headrace`, at 127.0.0.1."""
        self.close = weakref.finalize(self, listener.close)
        """Stops listening."""


class _Places(Protocol):
    """Chooses the addresses that a proxy connects to for a client's `host:port`; `tunnel`: the client will use TLS."""

    def addresses(self, asked: bytes, *, tunnel: bool) -> tuple[tuple[str, ...], int] | None:
        """The addresses and the port; None if refused."""

    def failed(self, asked: bytes, error: OSError) -> None:
        """Called when none of the addresses could be connected to."""


@dataclass(frozen=True, slots=True)
class _OneHost:
    """Allows one host only."""

    authority: bytes
    port: int
    known: tuple[str, ...]

    def addresses(self, asked: bytes, *, tunnel: bool) -> tuple[tuple[str, ...], int] | None:
        """Implements `_Places`."""
        del tunnel
        return (self.known, self.port) if asked in (self.authority, self.authority.removesuffix(b":80")) else None

    def failed(self, asked: bytes, error: OSError) -> None:
        """Implements `_Places`: does nothing."""


class _CheckedHosts:
    """Allows every host that the egress rules allow."""

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self._networks = networks
        self.refusals: deque[SourceError] = deque(maxlen=8)
        self.unreachable: deque[SourceError] = deque(maxlen=8)

    def addresses(self, asked: bytes, *, tunnel: bool) -> tuple[tuple[str, ...], int] | None:
        """Implements `_Places`."""
        try:
            address = WebAddress.of(f"{'https' if tunnel else 'http'}://{asked.decode('ascii', 'replace')}/")
            found = tuple(allowed_addresses(address.host, address.port, self._networks))
            if not tunnel and any(is_allowed(ipaddress.ip_address(each), ()) for each in found):
                raise _insecure(address.host)
        except SourceError as error:
            self.refusals.append(error)
            return None
        return found, address.port

    def failed(self, asked: bytes, error: OSError) -> None:
        """Implements `_Places`."""
        self.unreachable.append(unreachable(asked.decode("ascii", "replace"), error))


class _Listener:
    """A local port and the password for its use."""

    def __init__(self, places: _Places) -> None:
        self.password = secrets.token_urlsafe(16)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        let_in = b"Basic " + base64.b64encode(f"headrace:{self.password}".encode())
        dial = _Dialler(places, let_in)
        threading.Thread(target=_serve, args=(self._listening, dial), name="relay", daemon=True).start()

    @property
    def url(self) -> str:
        """The proxy URL, with the password."""
        return f"http://headrace:{self.password}@127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stops listening."""
        _close(self._listening)


class _Dialler:
    """Handles connections. It does not reference the proxy object, so as not to keep it alive."""

    def __init__(self, places: _Places, let_in: bytes) -> None:
        self._places, self._let_in = places, let_in

    def handle(self, client: socket.socket) -> None:
        """Serves one connection of the client until it ends."""
        with client:
            client.settimeout(_SILENT_S)
            head, rest = _request_head(client, b"")
            method, _, target = head.partition(b" ")
            target = target.partition(b" ")[0]
            if not hmac.compare_digest(_field(head, b"proxy-authorization"), self._let_in):
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            tunnel = method == b"CONNECT"
            asked = target if tunnel else _host_of(target)
            found = self._places.addresses(asked.lower(), tunnel=tunnel)
            if found is None:
                client.sendall(b"HTTP/1.1 403 Another host\r\nContent-Length: 0\r\n\r\n")
                return
            try:
                server = _connected(*found)
            except OSError as error:
                self._places.failed(asked, error)
                client.sendall(b"HTTP/1.1 502 No connection\r\nContent-Length: 0\r\n\r\n")
                return
            with server:
                server.settimeout(_SILENT_S)
                answers = threading.Thread(target=_forward, args=(server, client), name="relay", daemon=True)
                if tunnel:
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                answers.start()
                if tunnel:
                    if rest:
                        server.sendall(rest)
                    _forward(client, server)
                else:
                    _forward_requests(client, server, head, rest)
                answers.join()


def _connected(addresses: tuple[str, ...], port: int) -> socket.socket:
    problem = OSError("no address")
    for address in addresses[:2]:
        try:
            return socket.create_connection((address, port), timeout=_DIAL_S)
        except OSError as error:
            problem = error
    raise problem


def _insecure(host: str) -> SourceError:
    return SourceError("insecure", f"'{host}' would be reached over http, which others can read.", "Use https.")


def _serve(listener: socket.socket, dial: _Dialler) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_quietly, args=(dial, client), name="relay", daemon=True).start()


def _quietly(dial: _Dialler, client: socket.socket) -> None:
    with suppress(OSError, ValueError):  # the client sees the connection end
        dial.handle(client)


def _close(listener: socket.socket) -> None:
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _authority(host: str, port: int) -> bytes:
    bare = host.removeprefix("[").removesuffix("]").lower()
    return f"[{bare}]:{port}".encode() if ":" in bare else f"{bare}:{port}".encode()


def _forward(source: socket.socket, to: socket.socket) -> None:
    """Copies bytes until the source ends."""
    buffer = memoryview(bytearray(_BLOCK))
    with suppress(OSError):
        while count := source.recv_into(buffer):
            to.sendall(buffer[:count])
    with suppress(OSError):
        to.shutdown(socket.SHUT_WR)


def _host_of(target: bytes) -> bytes:
    return target.removeprefix(b"http://").partition(b"/")[0]


def _forward_requests(client: socket.socket, server: socket.socket, head: bytes, rest: bytes) -> None:
    """Forwards plain HTTP requests to one host, rewritten from proxy form to server form."""
    asked = _host_of(head.split(b" ", 2)[1])
    with suppress(OSError, ValueError):
        while head:
            if _host_of(head.split(b" ", 2)[1]) != asked:
                raise ValueError("a connection is to one host")
            server.sendall(_to_server(head))
            left = int(_field(head, b"content-length") or 0)
            if _field(head, b"transfer-encoding"):
                raise ValueError("a length is needed")
            while left:
                if not rest and not (rest := client.recv(min(left, _BLOCK))):
                    return
                server.sendall(rest[:left])
                left, rest = left - len(rest[:left]), rest[left:]
            head, rest = _request_head(client, rest)
    with suppress(OSError):
        server.shutdown(socket.SHUT_WR)


def _request_head(client: socket.socket, began: bytes) -> tuple[bytes, bytes]:
    """The head of a request and what follows it; empty at the end. Raises ValueError if it is not a request."""
    while b"\r\n\r\n" not in began:
        more = client.recv(_BLOCK)
        if not more:
            return b"", b""
        began += more
        if len(began) > _HEAD_BYTES and b"\r\n\r\n" not in began[:_HEAD_BYTES]:
            raise ValueError("no request")
    head, _, rest = began.partition(b"\r\n\r\n")
    return head, rest


def _field(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.strip().lower() == name:
            return value.strip()
    return b""


def _to_server(head: bytes) -> bytes:
    """The head with a path as its target, and without headers for the proxy."""
    first, *lines = head.split(b"\r\n")
    method, target, version = first.split(b" ")
    if target.startswith(b"http://"):
        target = b"/" + target.removeprefix(b"http://").partition(b"/")[2]
    kept = [line for line in lines if not line.lower().startswith(b"proxy-")]
    return b"\r\n".join([b" ".join((method, target, version)), *kept]) + b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`url` is for the client, which reaches it through the proxy only; `plain`: without TLS."""

    url: str
    relay: EgressProxy
    plain: bool

    @classmethod
    def of(cls, text: str, networks: Sequence[Network]) -> Endpoint:
        """Raises SourceError: `bad_url`, `insecure` (http over the internet), and those of the egress rules."""
        address = WebAddress.of(text)
        relay = EgressProxy(address.host, address.port, networks)
        plain = address.url.scheme == "http"
        if plain and any(is_allowed(ipaddress.ip_address(each), ()) for each in relay.addresses):
            raise _insecure(address.host)
        return cls(text.rstrip("/"), relay, plain)
