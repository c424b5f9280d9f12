"""HTTP/1.1 on one connection: uvicorn's h11 protocol with time-outs, and checks of each request's head."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from headrace.api.errors import CODES, RETRY_AFTER_S
from headrace.api.server.connections import Connections

MAX_HEADERS = 100
MAX_HEAD_BYTES = 32 * 1024
_STATUS_HEAD_TOO_LARGE = 431


class StrictConnection(h11.Connection):
    """An h11 connection that refuses ambiguous framing, targets that are not paths, and heads above the limits."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Extends h11's method; also raises RemoteProtocolError for requests that `check_request` refuses."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            check_request(event)
        return event


def check_request(request: h11.Request) -> None:
    """Raises RemoteProtocolError for a request that is refused."""
    headers = list(request.headers)
    if len(headers) > MAX_HEADERS:
        raise h11.RemoteProtocolError(f"more than {MAX_HEADERS} headers", error_status_hint=_STATUS_HEAD_TOO_LARGE)
    if len(request.target) + sum(len(name) + len(value) for name, value in headers) > MAX_HEAD_BYTES:
        raise h11.RemoteProtocolError(
            f"more than {MAX_HEAD_BYTES} bytes of headers", error_status_hint=_STATUS_HEAD_TOO_LARGE
        )
    names = [name for name, _ in headers]
    encoded = b"transfer-encoding" in names
    # A proxy may use the other header: the rest of the body would then be read as another request.
    if encoded and b"content-length" in names:
        raise h11.RemoteProtocolError("both Content-Length and Transfer-Encoding")
    if encoded and request.http_version != b"1.1":
        raise h11.RemoteProtocolError("Transfer-Encoding without HTTP/1.1")
    if not request.target.startswith(b"/") and request.target != b"*":
        raise h11.RemoteProtocolError("the target is not a path")


_REASONS = {
    400: "The request is not valid HTTP/1.1",
    408: "The request's headers did not arrive in time",
    431: "The request's headers are too large or too many",
    503: "Too many connections are open; try again in a moment",
}


class ServerConfig(uvicorn.Config):
    """Uvicorn's configuration, plus the connections that its protocols share."""

    connections: Connections


class BoundedProtocol(H11Protocol):
    """One connection. Uvicorn only has a time-out between requests; `Connections` has the others."""

    config: ServerConfig

    def __init__(self, config: ServerConfig, *args: Any, **kwargs: Any) -> None:
        """Has the signature that uvicorn calls."""
        super().__init__(config, *args, **kwargs)
        self.conn = StrictConnection(h11.SERVER, MAX_HEAD_BYTES)
        self._kept = config.connections
        self._held_back = False

    @property
    def address(self) -> str:
        """The peer address of the socket, which may be a proxy's."""
        return self.client[0] if self.client else ""

    @property
    def unsent(self) -> int:
        """Bytes in the write buffer."""
        return self.transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accepts the connection, or answers 503 when there are too many."""
        super().connection_made(transport)
        if not self._kept.enter(self, self.loop.time()):
            self._kept.refused("connections")
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        """Removes it from the open connections."""
        self._kept.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Reads data; the first byte of a head starts its time-out."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_busy:
            self._kept.busy(self)
        else:
            self._kept.waits(self, self.loop.time(), begun=True)

    def on_response_complete(self) -> None:
        """Continues with the next request, but not before the client has read this response."""
        self._kept.waits(self, self.loop.time(), begun=False)
        if self.flow.write_paused:
            self._held_back = True
        else:
            self._go_on()

    def resume_writing(self) -> None:
        """The client has read enough of the response."""
        super().resume_writing()
        if self._held_back:
            self._held_back = False
            self._go_on()

    def _go_on(self) -> None:
        super().on_response_complete()
        # uvicorn's keep-alive timer stops at the first byte of the next head; that of Connections does not.
        self._unset_keepalive_if_required()
        if self._is_busy:
            self._kept.busy(self)
        elif self.conn.trailing_data[0]:
            self._kept.waits(self, self.loop.time(), begun=True)

    @property
    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn when h11 raises: malformed HTTP, or a head above the limits."""
        error = sys.exception()
        status = 431 if getattr(error, "error_status_hint", 400) == 431 else 400
        self._kept.refused("malformed")
        if self._is_busy:  # in the middle of a body: a response may have begun
            self.transport.close()
        else:
            self._refuse(status, str(error or msg))

    def expire(self) -> None:
        """Closes it after a time-out: with 408 if part of a head has come, without a response between two requests."""
        if self.transport.is_closing():
            return
        if self.conn.trailing_data[0] and self.conn.our_state is h11.IDLE:
            self._kept.refused("slow_head")
            self._refuse(408)
        else:
            self.transport.close()

    def abort(self) -> None:
        """Closes it at once and discards unsent bytes."""
        self.transport.abort()

    def _refuse(self, status: int, why: str = "") -> None:
        """Sends an error response and closes; the write time-out applies if the client does not read it."""
        body = {
            "code": CODES[status],
            "message": f"{_REASONS[status]}{': ' * bool(why)}{why}",
            "status": status,
            "requestId": f"req_{secrets.token_hex(12)}",
            "details": [],
        }
        content = json.dumps({"error": body}).encode()
        head = [
            f"HTTP/1.1 {status} {_PHRASES[status]}",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "x-content-type-options: nosniff",
            "cache-control: no-store",
            f"x-request-id: {body['requestId']}",
            "connection: close",
            *([f"retry-after: {RETRY_AFTER_S}"] if status == 503 else []),
        ]
        # Written directly: h11 may be in an error state and refuse to send.
        self.transport.write("\r\n".join([*head, "", ""]).encode() + content)
        self.transport.close()


_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Unavailable"}
