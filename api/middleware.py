"""What surrounds every request: its id, its log line and metrics, the limits of its body, the headers of every answer,
and an answer when code fails."""

from __future__ import annotations

import asyncio
import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, envelope
from api.metrics_registry import RequestMetrics

REQUEST_ID_HEADER = "X-Request-ID"

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
"""Of every answer that does not say otherwise: what is sent is data, of one reader, and never a page."""

_DOCS = ("/docs", "/redoc")
_DOCS_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; connect-src 'self'; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; "
    "img-src data: https://fastapi.tiangolo.com https://cdn.redoc.ly; worker-src blob:; frame-ancestors 'none'"
)


class RequestMiddleware:
    """Gives a request its id (the client's, when it brought a fit one), logs one line, and turns a fault into a 500.

    Neither bodies nor headers nor query strings are logged: they may hold data or secrets.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: RequestMetrics, max_body_bytes: int, body_timeout_s: float, cors: bool = False
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s
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

        async def respond(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer[REQUEST_ID_HEADER] = request_id
                for name, value in self._headers.items():
                    answer.setdefault(name, value)
                if scope["path"] in _DOCS:
                    answer["Content-Security-Policy"] = _DOCS_POLICY
            await send(message)

        try:
            if _declared_length(headers) > self._max_body_bytes:
                refused = envelope(Request(scope), 413, self._too_large())
                await refused(scope, receive, respond)
            else:
                await self._app(scope, self._limited(receive), respond)
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            if status:
                raise
            await envelope(Request(scope), 500, "Something went wrong here")(scope, receive, respond)
        finally:
            took_s = time.perf_counter() - began
            self._metrics.observe(scope, status, took_s)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=round(took_s * 1000, 1))

    def _limited(self, receive: Receive) -> Receive:
        received, ended, deadline = 0, False, 0.0

        async def limited() -> Message:
            nonlocal received, ended, deadline
            if ended:  # what is waited for now is that the client goes away
                return await receive()
            deadline = deadline or asyncio.get_running_loop().time() + self._body_timeout_s
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise ApiError(408, f"The body did not arrive within {self._body_timeout_s:g} s") from None
            received += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if received > self._max_body_bytes:
                raise ApiError(413, self._too_large())
            return message

        return limited

    def _too_large(self) -> str:
        return f"The body is larger than {self._max_body_bytes} bytes"


def _declared_length(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0
