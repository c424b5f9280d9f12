"""ASGI middleware: request id, log line, metrics, admission, body limits, response headers, 500 for exceptions."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from headrace.api.errors import ApiError, envelope
from headrace.api.monitoring.collectors import RequestMetrics
from headrace.api.requests.concurrency import RequestSlots
from headrace.api.requests.host_check import HostCheck

REQUEST_ID_HEADER = "X-Request-ID"
EVENT_STREAM = "text/event-stream"

_log = structlog.get_logger("headrace.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Defaults of every response; pages of the console bring their own policy."""


class RequestMiddleware:
    """Assigns the request id (the client's, if valid), checks limits, logs one line, and answers exceptions with a 500.

    Bodies, headers and query strings are not logged: they may contain data or secrets.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: RequestMetrics,
        admission: RequestSlots,
        hosts: HostCheck,
        probes: frozenset[str],
        pages: frozenset[str],
        anonymous: Callable[[Scope], None],
        max_body_bytes: int,
        body_timeout_s: float,
        uploads: Callable[[Scope], int | None] = lambda _: None,
        cors: bool = False,
    ) -> None:
        """`probes` are paths exempt from admission. `pages` are public paths; `anonymous` is called for each request to
        one and raises ApiError above the rate limit. `uploads` returns the body limit in bytes of a file upload, for
        which the time-out applies between two chunks rather than to the whole body; None for other requests."""
        self._app = app
        self._metrics = metrics
        self._admission = admission
        self._hosts = hosts
        self._probes = probes
        self._pages, self._anonymous = pages, anonymous
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
        self._uploads = uploads
        self._headers = _HEADERS | ({"Cross-Origin-Resource-Policy": "cross-origin"} if cors else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get(REQUEST_ID_HEADER, "")
        request_id = offered if _REQUEST_ID.fullmatch(offered) else f"req_{secrets.token_hex(12)}"
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0
        began = time.perf_counter()
        probe = scope["path"] in self._probes
        ticket = None

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer[REQUEST_ID_HEADER] = request_id
                for name, value in self._headers.items():
                    answer.setdefault(name, value)
                if ticket is not None and answer.get("content-type", "").startswith(EVENT_STREAM):
                    ticket.leave()  # event streams have their own limit
            await send(message)

        try:
            self._check(scope, headers, probe=probe)
            if not probe:
                ticket = scope["state"]["ticket"] = self._admission.enter()
            await self._app(scope, self._limited(scope, receive), respond)
        except ApiError as error:  # raised by the checks above; the application handles its own
            refused = envelope(Request(scope), error.status_code, str(error.detail), headers=error.headers)
            await refused(scope, receive, respond)
        except ClientDisconnect:
            _log.info("client disconnected", method=scope["method"], path=scope["path"])
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            if status:
                raise
            await envelope(Request(scope), 500, "Something went wrong here")(scope, receive, respond)
        finally:
            if ticket is not None:
                ticket.leave()
            took_s = time.perf_counter() - began
            self._metrics.observe(scope, status, took_s)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(took_s * 1000, 1))

    def _check(self, scope: Scope, headers: Headers, *, probe: bool) -> None:
        self._hosts.check(scope, headers, probe=probe)
        if _declared_length(headers) > (most := self._uploads(scope) or self._max_body_bytes):
            raise ApiError(413, _too_large(most))
        if scope["path"] in self._pages:
            self._anonymous(scope)

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        received, ended, deadline = 0, False, 0.0
        upload = self._uploads(scope)
        most = upload or self._max_body_bytes

        async def limited() -> Message:
            nonlocal received, ended, deadline
            if ended:  # the next message is the client's disconnect
                return await receive()
            if upload or not deadline:
                deadline = asyncio.get_running_loop().time() + self._body_timeout_s
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, f"The body did not arrive within {self._body_timeout_s:g} s") from None
            received += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if received > most:
                raise ApiError(413, _too_large(most))
            return message

        return limited


def _too_large(most: int) -> str:
    return f"The body is larger than {most} bytes"


def _declared_length(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0
