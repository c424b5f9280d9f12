"""The line to a provider: one request until it is answered, or until there is no hope.

The provider's name is resolved when a batch is asked and the address that was checked is the one dialled; redirects are
not followed, since they would lead elsewhere.
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

from connectors.base import SourceError
from connectors.egress import allowed_addresses
from flows.enrich.base import Outside, Request, Unanswered
from flows.enrich.pace import Pace, retry_after
from ir.providers import ProviderConfig

PAUSE_S = 0.5
"""Before the second attempt; doubled before every further one."""
LONGEST_PAUSE_S = 30.0
MAX_BYTES = 8 * 1024 * 1024
"""An answer that is longer is none."""
GIVEN_UP_AFTER = 20
"""So many requests in a row without an answer of any kind: the provider is taken to be away."""

_WORTH_RETRYING = (408, 425, 429)
_NOT_ADMITTED = (401, 402, 403, 407)
_SHOWN = 300


class Refused(Unanswered):
    """The provider refuses what it was sent: with less, or other values, it might not."""


class Line:
    """One provider, for all threads and batches of a node in a process. It has connections inside `with` only. `trust`
    are the authorities whose certificates do, the usual ones unless given."""

    def __init__(
        self,
        config: ProviderConfig,
        secret: str | None,
        outside: Outside,
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._config, self._secret, self._outside, self._trust = config, secret, outside, trust
        self._pace = Pace(outside.stopped, config.requests_per_second)
        self._transport: httpx.HTTPTransport | None = None
        self._address: str | None = None
        self._in_vain = 0
        self._lock = threading.Lock()
        self._given_up: str | None = None

    def __enter__(self) -> Line:
        # Not a client: that would log addresses, which may hold the key.
        limits = httpx.Limits(max_connections=self._config.max_connections)
        self._transport = httpx.HTTPTransport(limits=limits, trust_env=False, verify=self._trust or True)
        self._address = None
        return self

    def __exit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.close()

    def ask(self, request: Request) -> Any:
        """The decoded JSON of the answer. Raises Unanswered (Refused where it is for what was sent), SourceError where
        the provider must not be dialled, and Interrupted."""
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
                    self._in_vain = 0
                    return self._decoded(body)
                reason, detail = f"{self.host} answered {status}", self._shown(body)
                if status in _NOT_ADMITTED:
                    self._give_up(reason)
                    raise Unanswered(reason, detail, passing=True)
                if status < 500 and status not in _WORTH_RETRYING:
                    self._in_vain = 0
                    raise Refused(reason, detail)
                if (pause := retry_after(header)) is not None:
                    self._pace.hold(pause)
                    continue
            if attempt < self._config.max_attempts:
                pause = min(PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
                self._pace.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 (so that not all come at once)
        reason += f" ({attempt} attempts)" if attempt > 1 else ""
        with self._lock:
            self._in_vain += 1
            if self._in_vain >= GIVEN_UP_AFTER:
                self._give_up(reason)
        raise Unanswered(reason, detail, passing=True)

    def close_down(self, reason: str) -> None:
        """Nothing is asked any more."""
        self._give_up(reason)

    @property
    def host(self) -> str:
        """The provider's name, for people."""
        return httpx.URL(self._config.url.partition("{")[0]).host

    def _give_up(self, reason: str) -> None:
        self._given_up = self._given_up or reason

    def _send(self, request: Request) -> tuple[int, str | None, bytes]:
        assert self._transport is not None
        url, headers = httpx.URL(request.url), {"Accept": "application/json", "User-Agent": "headrace"}
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
                port = url.port or (443 if url.scheme == "https" else 80)
                try:
                    self._address = allowed_addresses(url.host, port, self._outside.networks)[0]
                except SourceError as error:
                    if error.code != "unknown_host":
                        raise
                    raise httpx.ConnectError("unknown host") from None
            return self._address

    def _decoded(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise Refused(f"{self.host} did not answer with JSON", self._shown(body)) from None

    def _shown(self, body: bytes) -> str:
        """The beginning of what was said, without the key, which some repeat."""
        text = body[:_SHOWN].decode(errors="replace").strip()
        return text.replace(self._secret, "***") if self._secret else text
