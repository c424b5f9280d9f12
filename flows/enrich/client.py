"""The HTTP client for a provider: sends a request until it is answered or retries are used up.

The provider's name is resolved once per batch, and the address that was checked is the one connected to. Redirects are
not followed, since they could lead to an address that was not checked.
"""

from __future__ import annotations

import json
import random
import ssl
import threading
import time
from contextlib import closing
from typing import Any

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.network.web_address import WebAddress
from headrace.flows.enrich.provider import ProviderAccess, Request, Unanswered
from headrace.flows.enrich.rate_limit import RateLimiter, retry_after
from headrace.ir.providers import ProviderConfig
from headrace.ir.redaction import redact

FIRST_PAUSE_S = 0.5
"""Pause before the second attempt; doubled before each further one."""
LONGEST_PAUSE_S = 30.0
MAX_BYTES = 8 * 1024 * 1024
"""Longest answer, in bytes; a longer one counts as no answer."""
MAX_FAILURES_IN_A_ROW = 20
"""After this many requests in a row that failed in all attempts (no answer, 5xx, 408, 425, 429) no more are sent."""

_RETRIABLE = (408, 425, 429)
_UNAUTHORIZED = (401, 402, 403, 407)
_SHOWN = 300


class RequestRefused(Unanswered):
    """The provider refuses this request: with fewer or other values it might not."""


class ProviderClient:
    """The client of one provider, for all threads and batches of a node in a process. It has connections only inside
    `with`. `trust` is the TLS context with trusted authorities (None: the default ones)."""

    def __init__(
        self,
        config: ProviderConfig,
        secret: str | None,
        providers: ProviderAccess,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._config, self._secret, self._providers, self._trust = config, secret, providers, trust
        self._pace = RateLimiter(providers.stopped, config.requests_per_second)
        self._transport: httpx.HTTPTransport | None = None
        self._address: str | None = None
        self._failures_in_a_row = 0
        self._lock = threading.Lock()
        self._given_up: str | None = None

    def __enter__(self) -> ProviderClient:
        # Not httpx.Client, which logs URLs, which may contain the key.
        limits = httpx.Limits(max_connections=self._config.max_connections)
        self._transport = httpx.HTTPTransport(limits=limits, trust_env=False, verify=self._trust or True)
        self._address = None
        return self

    def __exit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.close()

    def ask(self, request: Request) -> Any:
        """The decoded JSON of the answer. Raises Unanswered (Refused when the provider refuses this request),
        SourceError when its address is not allowed, and Interrupted."""
        reason, detail, attempt = "", "", 0
        while attempt < self._config.max_attempts:
            attempt += 1
            if self._given_up is not None:
                raise Unanswered(self._given_up, passing=True)
            self._pace.wait()
            try:
                status, header, body = self._send(request)
            except httpx.HTTPError as error:
                reason = f"{self.host} did not answer: {type(error).__name__}"
            else:
                if 200 <= status < 300:
                    self._failures_in_a_row = 0
                    return self._decoded(body)
                reason, detail = f"{self.host} answered {status}", self._shown(body)
                if status in _UNAUTHORIZED:
                    self._give_up(reason)
                    raise Unanswered(reason, detail, passing=True)
                if status < 500 and status not in _RETRIABLE:
                    self._failures_in_a_row = 0
                    raise RequestRefused(reason, detail)
                if (pause := retry_after(header)) is not None:
                    self._pace.hold(pause)
                    continue
            if attempt < self._config.max_attempts:
                pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
                self._pace.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 (so that not all come at once)
        reason += f" ({attempt} attempts)" if attempt > 1 else ""
        with self._lock:
            self._failures_in_a_row += 1
            if self._failures_in_a_row >= MAX_FAILURES_IN_A_ROW:
                self._give_up(reason)
        raise Unanswered(reason, detail, passing=True)

    def close_down(self, reason: str) -> None:
        """Ends all further requests: `ask` raises Unanswered, with the first reason given."""
        self._give_up(reason)

    @property
    def host(self) -> str:
        """The provider's host name, for messages."""
        return httpx.URL(self._config.url.partition("{")[0]).host

    def _give_up(self, reason: str) -> None:
        self._given_up = self._given_up or reason

    def _send(self, request: Request) -> tuple[int, str | None, bytes]:
        assert self._transport is not None
        url = WebAddress.of(request.url).url
        headers = {"Accept": "application/json", "User-Agent": "headrace"}
        name = self._config.api_key_header
        if self._secret is not None and self._config.api_key_param is not None:
            url = url.copy_add_param(self._config.api_key_param, self._secret)
        elif self._secret is not None:
            headers[name or "Authorization"] = self._secret if name else f"Bearer {self._secret}"
        content = None
        if request.body is not None:
            content = json.dumps(request.body, ensure_ascii=False).encode()
            headers["Content-Type"] = "application/json"
        headers["Host"] = url.netloc.decode()
        timeout_s = self._config.timeout_seconds
        until = time.monotonic() + timeout_s
        sent = httpx.Request(
            request.method,
            url.copy_with(host=self._dialled(url)),
            headers=headers,
            content=content,
            extensions={"sni_hostname": url.host, "timeout": httpx.Timeout(timeout_s).as_dict()},
        )
        with closing(self._transport.handle_request(sent)) as answer:
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > MAX_BYTES:
                    raise httpx.DecodingError("the answer is too long")
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the answer takes too long")
            return answer.status_code, answer.headers.get("Retry-After"), body

    def _dialled(self, url: httpx.URL) -> str:
        with self._lock:
            if self._address is None:
                try:
                    self._address = WebAddress(url).checked(self._providers.networks)
                except SourceError as error:
                    if error.code != "unknown_host":
                        raise
                    raise httpx.ConnectError("unknown host") from None
            return self._address

    def _decoded(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise RequestRefused(f"{self.host} did not answer with JSON", self._shown(body)) from None

    def _shown(self, body: bytes) -> str:
        """The beginning of a response, without the key, which some providers repeat."""
        text = redact(body.decode(errors="replace"), [self._secret] if self._secret else [])
        return text.strip()[:_SHOWN]
