"""GET and HEAD requests to URLs that users give; every redirect is checked by the egress rules."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.network.web_address import WebAddress
from headrace.ir.redaction import redact

MAX_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_CONNECT_S, _READ_S = 10.0, 60.0


@dataclass(frozen=True, slots=True)
class HttpClient:
    """`headers` hold the login, which is only sent to `origins` (scheme, host, port)."""

    networks: Sequence[Network]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: frozenset[tuple[str, str, int]] = frozenset()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @contextmanager
    def asked(self, method: str, url: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """The response after all redirects, its body unread. Raises SourceError and httpx.HTTPError."""
        with httpx.Client(
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(_READ_S, connect=_CONNECT_S),
        ) as client:
            there, encrypted = WebAddress.of(url), False
            for _ in range(MAX_REDIRECTS + 1):
                if encrypted and there.url.scheme != "https":
                    raise SourceError(
                        "insecure", f"{self.shown(url)} redirects from https to http.", "Use an https address."
                    )
                encrypted = there.url.scheme == "https"
                address = there.checked(self.networks)
                sent = {
                    "Accept-Encoding": "identity",  # so that ranges and sizes are those of the file
                    "User-Agent": "headrace",
                    **(headers or {}),
                    **(self.headers if origin(there) in self.origins else {}),
                    "Host": there.url.netloc.decode(),
                }
                request = client.build_request(
                    method, there.at(address), headers=sent, extensions={"sni_hostname": there.host}
                )
                answer = client.send(request, stream=True)
                try:
                    if answer.status_code in _MOVED and (onward := answer.headers.get("Location")):
                        there = WebAddress.of(str(there.url.join(onward)))
                        continue
                    yield answer
                    return
                finally:
                    answer.close()
        raise SourceError(
            "too_many_redirects", f"{self.shown(url)} redirects {MAX_REDIRECTS} times.", "Use the final address."
        )

    def shown(self, url: str) -> str:
        """A URL for messages, without its query, which may contain a signature."""
        return redact(url.partition("?")[0].partition("#")[0], list(self.secrets))

    def refused(self, url: str, answer: httpx.Response) -> SourceError:
        """The error for an unsuccessful response."""
        code, hint = "not_readable", "Check the address and its server."
        if answer.status_code in (401, 407):
            code, hint = "login_refused", "Give the connector valid credentials."
        elif answer.status_code == 403:
            code, hint = "access_refused", "Let its user read the file."
        elif answer.status_code in (404, 410):
            code, hint = "file_not_found", "Correct the address."
        return SourceError(code, f"{self.shown(url)}: the server answered {answer.status_code}.", hint)

    def failed(self, url: str, error: httpx.HTTPError) -> SourceError:
        """The error for a missing response."""
        said = redact(str(error) or type(error).__name__, list(self.secrets))[:200].rstrip(".")
        return SourceError("connection_failed", f"{self.shown(url)}: {said}.", "Check that its server answers.")


def origin(there: WebAddress) -> tuple[str, str, int]:
    """What a login is bound to: scheme, host, port."""
    return there.url.scheme, there.host, there.port


def login(credentials: Mapping[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The headers for `token`, or `username` and `password`, and the secrets in them. Raises SourceError."""
    token, user, password = (str(credentials.get(name) or "") for name in ("token", "username", "password"))
    if token:
        value = f"Bearer {token}"
    elif user or password:
        value = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    else:
        return {}, ()
    if not value.isascii() or not value.isprintable():
        raise SourceError(
            "bad_credentials", "The token cannot be sent.", "It holds a character not allowed in headers."
        )
    return {"Authorization": value}, tuple(each for each in (token, password, value) if each)
