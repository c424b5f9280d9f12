"""Requests to an API: only to allowed addresses, credentials only to the API itself, retried as its headers request."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO
from urllib.parse import urlencode

import httpx
import msgspec
from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.http import waits
from headrace.connectors.http.answers import Answer
from headrace.connectors.http.login import Login
from headrace.connectors.http.pace import RETRIED, Pace, pause, requested_wait
from headrace.connectors.network.egress import Network
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.services import RestApi
from headrace.ir.redaction import redact

MAX_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_KEEPS_METHOD = (307, 308)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_NOT_TAKEN = (425, 429)
"""Statuses of a request that the API has not looked at."""
_TIMEOUT = {"connect": 10.0, "read": 60.0, "write": 60.0, "pool": 60.0}
_TOKEN_BYTES = 1 << 20
_GZIP = b"\x1f\x8b\x08"
_SAID = 300
_TRIES = 12
"""Attempts of a request without a wait requested by the API."""
_TOLD_TRIES = 100
"""Attempts with requested waits, which could be 0 seconds each time."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One request. `url` is complete; `query` is added to it."""

    method: str
    url: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    label: str = ""
    """Its name in messages."""
    empty: Sequence[int] = ()
    """Statuses of responses that mean that there are no records."""
    repeatable: bool = True
    """It may be sent again where it is not known whether the API has had it."""
    moves: bool = True
    """Redirects are followed."""


@dataclass(slots=True)
class Attempts:
    """What became of the attempts of a request before the last one."""

    unknown: int = 0
    """Those after which it is not known whether the API has taken the request."""


class Api:
    """A client of one API. Thread-safe; `close` closes its connections."""

    def __init__(
        self, context: Context, *, sleep: Callable[[float], None] = time.sleep, longest: float | None = None
    ) -> None:
        """`longest` bounds the wait of a request, in seconds, beside the connector's `maxWaitSeconds`. Raises
        SourceError: `bad_option`, `bad_url`, `bad_credentials`, `insecure`."""
        config = config_of(context.connection.config)
        self.base = WebAddress.of(config.url)
        self._networks: Sequence[Network] = context.surroundings.networks
        self._most = config.max_page_bytes
        self._most_file = config.max_file_bytes
        self._longest = config.max_wait_seconds if longest is None else min(longest, config.max_wait_seconds)
        self._bound = "maxWaitSeconds is" if longest is None else "A test waits for at most"
        self.sleep = sleep
        self._sleep = partial(waits.wait, sleep)
        self._pace = Pace(config.requests_per_second, sleep=partial(self._sleep, f"the rate limit of {self.base.host}"))
        self.most, self.scratch = config.max_page_bytes, context.surroundings.scratch
        self._transports: dict[tuple[str, str, int], httpx.HTTPTransport] = {}
        self._lock = threading.Lock()
        self.login = Login(config, context.connection.credentials, self._fetch_token)
        if self.login.any:
            logins = [config.auth.oauth_url, config.auth.login_url] if config.auth else []
            if any(each.startswith("http:") for each in (config.url, *logins) if each) and not config.insecure_login:
                raise SourceError(
                    "insecure",
                    "The login would be sent over http, which others can read.",
                    "Use https; in a network that you trust, set config.insecureLogin to true.",
                )

    def close(self) -> None:
        """Closes all connections."""
        with self._lock:
            for transport in self._transports.values():
                transport.close()
            self._transports.clear()

    def address(self, path: str) -> str:
        """The address of a path below the API's base URL."""
        base = self.base.url
        whole = f"{base.path.rstrip('/')}/{path.lstrip('/')}" if path else base.path
        return f"{base.scheme}://{base.netloc.decode()}{whole}" + (f"?{base.query.decode()}" if base.query else "")

    def asked(self, sent: Sent, into: BinaryIO | None = None) -> Answer:
        """The response to a request; with `into`, its body is written to that file. Retries while the API asks to wait,
        fails or cannot be reached, and once with a new token after a 401. Raises SourceError."""
        status, answer = self.delivered(sent, into=into)
        if status in sent.empty:
            return replace(answer, nothing=True)
        if status >= 400:
            raise self.refusal(sent, status, answer)
        return answer

    def delivered(
        self, sent: Sent, attempts: Attempts | None = None, *, into: BinaryIO | None = None
    ) -> tuple[int, Answer]:
        """The status and the response to a request that refuses it or not, retried as in `asked`. `attempts` counts
        those that may have been taken. Raises SourceError; `outcome_unknown` for one that is not repeatable."""
        waited, tries, renewed = 0.0, 0, False
        attempts = attempts if attempts is not None else Attempts()
        while True:
            login, number = self.login.headers()
            self._pace.before()
            wait: float | None = None
            try:
                status, answer = self._once(sent, login, self.login.query, self._most, into)
            except (httpx.DecodingError, httpx.LocalProtocolError) as error:
                raise SourceError("bad_page", self._failed(sent, error).message, "Check what the API gives.") from None
            except httpx.HTTPError as error:
                failure = self._failed(sent, error)
                self._may_be_taken(sent, attempts, failure, certain=isinstance(error, _NOT_SENT))
            else:
                self._pace.after(answer.headers, longest=self._longest)
                if status == 401 and not renewed and self.login.refused(number):
                    renewed = True
                    continue
                limited = status == 403 and ("retry-after" in answer.headers or _none_left(answer.headers))
                if status not in RETRIED and not limited:
                    return status, answer
                wait = requested_wait(answer.headers, time.time())
                failure = self.refusal(sent, status, answer)
                self._may_be_taken(sent, attempts, failure, certain=status in _NOT_TAKEN or limited)
            if wait is None:
                if tries >= _TRIES:
                    raise failure
                wait = pause(tries)
            elif tries >= _TOLD_TRIES:
                raise failure
            if waited + wait > self._longest:
                code = "rate_limited" if failure.code == "rate_limited" else failure.code
                said = f"{failure.message} Another try would be after {waited + wait:,.0f} s in all."
                raise SourceError(code, said, f"{failure.hint} {self._bound} {self._longest:g} s.".strip())
            waited, tries = waited + wait, tries + 1
            self._sleep(failure.message.rstrip("."), wait)

    @staticmethod
    def _may_be_taken(sent: Sent, attempts: Attempts, failure: SourceError, *, certain: bool) -> None:
        """Counts an attempt without an answer. Raises SourceError if the request must not be sent again."""
        if certain:
            return
        attempts.unknown += 1
        if not sent.repeatable:
            raise SourceError("outcome_unknown", failure.message, failure.hint)

    def shown(self, url: str) -> str:
        """A URL for messages, without its query."""
        return redact(url.partition("?")[0].partition("#")[0], self.login.secrets)

    def _once(
        self,
        sent: Sent,
        login: Mapping[str, str],
        query: Mapping[str, str],
        most: int,
        into: BinaryIO | None = None,
    ) -> tuple[int, Answer]:
        there, method, body = WebAddress.of(sent.url), sent.method, sent.body
        extra = list(sent.query)
        what = sent.label or self.shown(sent.url)
        for _ in range(MAX_REDIRECTS + 1):
            own = self._is_own(there)
            pairs = [*extra, *(query.items() if own else ())]
            url = there.at(there.checked(self._networks))
            if pairs:
                taken = {name for name, _ in pairs}
                kept = [(name, value) for name, value in url.params.multi_items() if name not in taken]
                url = url.copy_with(query=urlencode([*kept, *pairs]).encode())
            headers = {
                "User-Agent": "headrace",
                "Accept": "application/json, */*;q=0.5",
                "Accept-Encoding": "gzip, deflate",
                **sent.headers,
                **(login if own else {}),
                "Host": there.url.netloc.decode(),
            }
            request = httpx.Request(
                method, url, headers=headers, content=body, extensions={"sni_hostname": there.host, "timeout": _TIMEOUT}
            )
            response = self._transport(there).handle_request(request)
            response.request = request
            try:
                moved = response.status_code in _MOVED and response.headers.get("Location")
                if not moved:
                    if into is not None and response.status_code < 400:
                        content = self._written(response, what, into)
                    else:
                        content = self._content(response, what, most)
                    found = {name.lower(): value for name, value in response.headers.items()}
                    return response.status_code, Answer(what, str(there.url), found, content)
            finally:
                response.close()
            if not sent.moves:
                raise SourceError("redirected", f"{what} redirects elsewhere.", "Use the final address.")
            onward = there.onward(moved)
            if there.url.scheme == "https" and onward.url.scheme != "https":
                raise SourceError("insecure", f"{what} redirects from https to http.", "Use an https address.")
            if method != "GET":
                if response.status_code in _KEEPS_METHOD and _origin(onward) != _origin(there):
                    raise SourceError("redirected", f"{what} redirects a POST elsewhere.", "Use the final address.")
                if response.status_code not in _KEEPS_METHOD:
                    method, body = "GET", None
            there, extra = onward, []
        raise SourceError("too_many_redirects", f"{what} redirects {MAX_REDIRECTS} times.", "Use the final address.")

    def _is_own(self, there: WebAddress) -> bool:
        return _origin(there) == _origin(self.base)

    def _transport(self, there: WebAddress) -> httpx.HTTPTransport:
        """The transport of an origin: connections to an address are never shared between host names. (Unlike a client,
        a transport logs no URLs with queries.)"""
        with self._lock:
            key = _origin(there)
            if key not in self._transports:
                self._transports[key] = httpx.HTTPTransport(trust_env=False)
            return self._transports[key]

    def _written(self, response: httpx.Response, what: str, into: BinaryIO) -> bytes:
        into.seek(0)
        into.truncate()
        for part in response.iter_bytes(1 << 16):
            if into.tell() + len(part) > self._most_file:
                raise SourceError(
                    "too_large", f"{what}: the file has more than {self._most_file:,} bytes.", "Raise maxFileBytes."
                )
            into.write(part)
        into.flush()
        return b""

    def _content(self, response: httpx.Response, what: str, most: int) -> bytes:
        parts, size = [], 0
        for part in response.iter_bytes(1 << 16):
            size += len(part)
            if size > most:
                raise self._too_large(what, most)
            parts.append(part)
        body = b"".join(parts)
        if not body.startswith(_GZIP):
            return body
        packed = zlib.decompressobj(wbits=31)
        try:
            whole = packed.decompress(body, most + 1)
        except zlib.error:
            raise SourceError(
                "bad_page", f"{what}: the answer is gzip that cannot be unpacked.", "Ask later."
            ) from None
        if len(whole) > most:
            raise self._too_large(what, most)
        if not packed.eof:
            raise SourceError("bad_page", f"{what}: the answer is cut off.", "Ask later.")
        return whole

    def _too_large(self, what: str, most: int) -> SourceError:
        return SourceError(
            "too_large",
            f"{what}: the answer has more than {most:,} bytes.",
            "Ask for smaller pages, or raise maxPageBytes.",
        )

    def _fetch_token(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Posts a token request or a login to its own origin, without other credentials than those in its body and
        headers. Retries transient failures, not refusals."""
        sent = Sent("POST", url, (), headers, body, f"The server of tokens ({url.partition('?')[0]})")
        for tries in range(4):
            try:
                status, answer = self._once(sent, {}, {}, _TOKEN_BYTES)
            except httpx.HTTPError as error:
                failure = self._failed(sent, error)
            else:
                if status < 400:
                    return answer
                failure = SourceError(
                    "login_refused" if status not in RETRIED else "connection_failed",
                    f"{answer.what} answered {status}{self.said(answer)}.",
                    self.login.hint,
                )
                if status not in RETRIED:
                    raise failure
            if tries < 3:
                self._sleep(failure.message.rstrip("."), pause(tries))
        raise failure

    def refusal(self, sent: Sent, status: int, answer: Answer) -> SourceError:
        """The error for a response that refuses a request."""
        code, hint = "not_readable", "Check the settings, and what the API's documents say of them."
        if status in (401, 407):
            code, hint = "login_refused", "Give the connector valid credentials."
        elif status == 403:
            code, hint = "access_refused", "Let its login read this."
        elif status in (404, 410):
            code, hint = "not_found", "Correct 'path', or the connector's url."
        elif status == 429:
            code, hint = "rate_limited", "Ask less often: requestsPerSecond."
        elif status >= 500:
            code, hint = "connection_failed", "The API fails; run it later."
        what = answer.what or self.shown(sent.url)
        return SourceError(code, f"{what}: the API answered {status}{self.said(answer)}.", hint)

    def clean(self, text: str) -> str:
        """A text of the API for people: without secrets, on one line, cut."""
        line = redact(" ".join(text.split()), self.login.secrets)[:_SAID]
        return line if line.isprintable() else ""

    def said(self, answer: Answer) -> str:
        """The API's error message, without secrets, on one line."""
        text = answer.body[: 4 * _SAID].decode("utf-8", "replace")
        try:
            found = msgspec.json.decode(answer.body[: 1 << 16], type=dict[str, Any])
            inner = found.get("error")
            of = inner if isinstance(inner, dict) else found
            text = next(
                (str(of[k]) for k in ("error_description", "message", "detail", "title", "error") if of.get(k)), text
            )
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            if text.lstrip().startswith("<"):
                text = ""
        line = self.clean(text).rstrip(".")
        return f": {line}" if line else ""

    def _failed(self, sent: Sent, error: httpx.HTTPError) -> SourceError:
        said = redact(str(error) or type(error).__name__, self.login.secrets)[:200].rstrip(".")
        what = sent.label or self.shown(sent.url)
        return SourceError("connection_failed", f"{what}: {said}.", "Check that the API answers.")


def _origin(there: WebAddress) -> tuple[str, str, int]:
    return there.url.scheme, there.host, there.port


def _none_left(headers: Mapping[str, str]) -> bool:
    """Whether a 403 means that the rate limit is used up, as at GitHub and others."""
    return any(headers.get(name, "").strip() == "0" for name in ("x-ratelimit-remaining", "ratelimit-remaining"))


def config_of(config: Mapping[str, Any]) -> RestApi:
    """Parses a connector's config, with the endpoints of its document in it. Raises SourceError(`bad_option`)."""
    try:
        parsed = RestApi.model_validate(dict(config))
    except ValidationError:
        first = problems_of(RestApi, dict(config))[0]
        raise SourceError("bad_option", f"{first.path}: {first.message}.", first.hint) from None
    if parsed.document is not None:
        raise SourceError(
            "bad_option",
            f"config.document: the connector document '{parsed.document}' is not there.",
            "Put the endpoints into config.endpoints: `headrace connectors build`.",
        )
    return parsed
