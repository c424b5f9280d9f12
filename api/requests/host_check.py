"""Checks of the Host, Origin and Sec-Fetch headers, against DNS rebinding and cross-site requests.

A page that resolves its own name to this machine (DNS rebinding) sends that name as Host; a page of another origin
sends its origin as Origin, or `Sec-Fetch-Site`. A script can change neither."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from headrace.api.errors import ApiError
from headrace.catalog.settings import Settings

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_SAFE_METHODS = ("GET", "HEAD")


class HostCheck:
    """The checks that the settings ask for: allowed hosts, and loopback only when authentication is off."""

    def __init__(self, settings: Settings) -> None:
        self._open = settings.auth == "off"
        self._allowed = tuple(name.lower() for name in settings.allowed_hosts)
        self._origins = frozenset(settings.cors_origins)

    def check(self, scope: Scope, headers: Headers, *, probe: bool) -> None:
        """Raises ApiError 400 for a malformed Host, 403 for a Host or an Origin that is not allowed.

        `probe`: a health check, for which any Host is allowed, unless authentication is off.
        """
        given = headers.get("host", "")
        match = _HOST.fullmatch(given)
        if given and match is None:
            raise ApiError(400, "The Host header is not a host")
        host = match[1].strip("[]").lower() if match is not None else ""
        if self._allowed and not probe and not any(_matches(host, pattern) for pattern in self._allowed):
            raise ApiError(403, "The API is not served under this name; HEADRACE_ALLOWED_HOSTS says under which")
        if self._open:
            self._check_local(scope, headers, host, given)

    def _check_local(self, scope: Scope, headers: Headers, host: str, given: str) -> None:
        server = (scope.get("server") or ("",))[0]
        if not (is_loopback(host) and is_loopback(server or "")):
            raise ApiError(403, "Authentication is off: only requests from this machine are answered")
        origin = headers.get("origin")
        reads = scope["method"] in _SAFE_METHODS
        if origin is not None and origin not in self._origins:
            own = urlsplit(origin).netloc.lower() == given.lower()
            if not own and not (reads and is_loopback(urlsplit(origin).hostname or "")):
                raise ApiError(403, "Authentication is off: pages of other origins are not answered")
        site = headers.get("sec-fetch-site", "none")
        navigates = reads and headers.get("sec-fetch-mode") == "navigate"
        if origin is None and site not in ("none", "same-origin") and not navigates:
            raise ApiError(403, "Authentication is off: pages of other sites are not answered")


def is_loopback(host: str) -> bool:
    """Whether the host is `localhost` or a loopback address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
