"""One-time links that sign a browser in to Prefect's UI; `headrace open prefect` requests them.

Prefect's UI keeps the server's auth string in the browser's local storage, and otherwise prompts for it. The link has a
token in its fragment (`#`), which browsers do not send; its page exchanges the token for the auth string.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from headrace.deployments.prefect.api import SIGN_IN_LINKS_PATH, SIGN_IN_PATH

_VALID_S = 120.0
_AT_ONCE = 16
_LONGEST = 1024
_NOT_KEPT = {"Cache-Control": "no-store"}

# Both versions of the UI read `prefect-password`. A page of the UI may follow the token: `#<token>/runs/…`.
_SCRIPT = """
const [, token, path] = /^#([\\w-]+)(\\/[^\\/\\\\].*)?$/.exec(location.hash) || [];
history.replaceState(null, "", location.pathname);
fetch(location.pathname, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({token})})
  .then((answer) => answer.ok ? answer.json() : Promise.reject())
  .then((given) => { localStorage.setItem("prefect-password", given.password); location.replace(path || "/"); })
  .catch(() => { document.body.textContent =
    "This link has been used, or is older than two minutes. `headrace open prefect` makes another."; });
"""
_HTML = f"<!doctype html><meta charset=utf-8><title>Headrace</title><body>Signing in…<script>{_SCRIPT}</script></body>"
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_POLICY = f"default-src 'none'; script-src 'sha256-{_HASH}'; connect-src 'self'; frame-ancestors 'none'"


class SignIn:
    """ASGI middleware with the three endpoints of signing in. Tokens are kept in memory."""

    def __init__(
        self, app: ASGIApp, auth_string: str, ui: str | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`ui` is the address for browsers, if it differs from the one for programs."""
        self._app, self._ui, self._clock = app, ui, clock
        self._password = base64.b64encode(auth_string.encode()).decode()
        self._tokens: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"]) if scope["type"] == "http" else None
        match route:
            case ("POST", path) if path == SIGN_IN_LINKS_PATH:
                answer = self._make(Request(scope))
            case ("GET", path) if path == SIGN_IN_PATH:
                answer = HTMLResponse(_HTML, headers=_NOT_KEPT | {"Content-Security-Policy": _POLICY})
            case ("POST", path) if path == SIGN_IN_PATH:
                answer = await self._trade(Request(scope, receive))
            case _:
                await self._app(scope, receive, send)
                return
        await answer(scope, receive, send)

    def _make(self, request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Basic {self._password}".encode()):
            return JSONResponse({"detail": "Unauthorized"}, status_code=401)
        self._forget()
        if len(self._tokens) >= _AT_ONCE:
            del self._tokens[min(self._tokens, key=self._tokens.__getitem__)]
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self._clock() + _VALID_S
        return JSONResponse({"token": token, "ui": self._ui}, headers=_NOT_KEPT)

    async def _trade(self, request: Request) -> Response:
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _LONGEST:
                break
        try:
            token = json.loads(body)["token"]
        except (ValueError, KeyError, TypeError):
            token = None
        self._forget()
        if not isinstance(token, str) or self._tokens.pop(token, None) is None:
            return JSONResponse({"detail": "The link has been used or is too old."}, status_code=403)
        return JSONResponse({"password": self._password}, headers=_NOT_KEPT)

    def _forget(self) -> None:
        now = self._clock()
        self._tokens = {token: until for token, until in self._tokens.items() if until > now}
