"""Sockets of servers and proxies on loopback. They send at once: with Nagle's algorithm the second part of an answer
waits for an acknowledgement, which takes 40 ms."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


def listener(host: str = LOOPBACK) -> socket.socket:
    """Listens at a free port. The connections that it accepts send at once as well."""
    listening = socket.create_server((host, 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def connected(port: int, host: str = LOOPBACK) -> socket.socket:
    """A connection to a server of this machine."""
    opened = socket.create_connection((host, port))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened
