"""Restricts the stack's Prefect server to its own host names and to requests of its own pages.

Prefect checks credentials, but neither the Host nor the Origin header. Without these checks a web page could point its
own domain at this machine (DNS rebinding) and use the server as its own origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBES = frozenset({"/api/health", "/api/ready"})
"""Health checks, allowed under any host name (Kubernetes uses the pod's address)."""
_POLICY_VIOLATION = 1008
_SECURITY_HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class AllowedClients:
    """The allowed host `names` (without ports) of the server, and the allowed `origins` of pages."""

    names: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, ui_api_url: str | None, more_names: Iterable[str] = ()) -> AllowedClients:
        """Names and origins of the UI's address (with all names of loopback), and `more_names`."""
        names, origins = {name.strip().lower() for name in more_names if name.strip()}, set[str]()
        if ui_api_url:
            address = urlsplit(ui_api_url)
            port = "" if address.port is None else f":{address.port}"
            host = address.hostname or ""
            names.add(host)
            alike = ("127.0.0.1", "localhost", "[::1]") if _is_loopback(host) else (_bracketed(host),)
            origins |= {f"{address.scheme}://{each}{port}" for each in alike}
        return cls(frozenset(names), frozenset(origins))


class Guard:
    """ASGI middleware: refuses other hosts and origins, also of websockets."""

    def __init__(self, app: ASGIApp, neighbours: AllowedClients) -> None:
        self._app, self._allowed = app, neighbours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self._refusal_reason(scope)
        if reason is None:
            await self._app(scope, receive, _with_security_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "http":
            await JSONResponse({"detail": reason}, status_code=403)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})

    def _refusal_reason(self, scope: Scope) -> str | None:
        """Why the request is refused; None when it is allowed."""
        headers = Headers(scope=scope)
        if scope["type"] == "http" and scope["path"] in PROBES and "origin" not in headers:
            return None
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope):
            return "This server does not have that host name. HEADRACE_PREFECT_HOSTS lists more."
        origins = headers.getlist("origin")
        if origins:
            own = urlsplit(origins[0]).netloc.lower() == hosts[0].lower()
            if len(origins) != 1 or not (own or origins[0].lower() in self._allowed.origins):
                return "Pages of another origin may not use this server."
        elif headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and _is_of_api(scope):
            return "Pages of another site may not use this server."
        return None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """Whether `host` (with or without a port) is allowed: a configured name, loopback, or the IP address of the
        connection. A domain name of others is never an IP address."""
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        if not name:
            return False
        dialled = (scope.get("server") or (None,))[0]
        return name in self._allowed.names or _is_loopback(name) or (name == dialled and _is_address(name))


def _is_of_api(scope: Scope) -> bool:
    """Other sites may link to the UI's pages, not to the API."""
    return scope["type"] == "websocket" or scope["method"] != "GET" or str(scope["path"]).startswith("/api")


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _with_security_headers(send: Send) -> Send:
    """Adds security headers to answers, against framing and content sniffing."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
