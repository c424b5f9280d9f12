"""What surrounds every request: its id, its log line, the size limit of its body, and an answer when code fails."""

from __future__ import annotations

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ApiError, envelope

REQUEST_ID_HEADER = "X-Request-ID"

_log = structlog.get_logger("headrace.api")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class RequestMiddleware:
    """Gives a request its id (the client's, when it brought a fit one), logs one line, and turns a fault into a 500.

    Neither bodies nor headers nor query strings are logged: they may hold data or secrets.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

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
                MutableHeaders(scope=message)[REQUEST_ID_HEADER] = request_id
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
            took = round((time.perf_counter() - began) * 1000, 1)
            _log.info("request", method=scope["method"], path=scope["path"], status=status, ms=took)

    def _limited(self, receive: Receive) -> Receive:
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise ApiError(413, self._too_large())
            return message

        return limited

    def _too_large(self) -> str:
        return f"The body is larger than {self._max_body_bytes} bytes"


def _declared_length(headers: Headers) -> int:
    declared = headers.get("content-length", "0")
    return int(declared) if declared.isascii() and declared.isdigit() else 0
