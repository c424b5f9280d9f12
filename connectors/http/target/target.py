"""An API that rows are sent to: its client and its settings, opened once per process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.http.client import Api, Attempts, Sent
from headrace.connectors.http.target.answers import Outcome, outcome_of
from headrace.connectors.http.target.records import body_of, content_type
from headrace.connectors.http.target.settings import HttpTarget

_HINTS = {
    "access_refused": "Let its login write this.",
    "not_readable": "Check the settings, and what the API's documents say of them.",
}


@dataclass(slots=True)
class ApiTarget:
    """Sends records. Thread-safe: all partitions share its rate limit."""

    context: Context
    settings: HttpTarget
    sleep: Callable[[float], None] = time.sleep
    _api: Api | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def client(self) -> Api:
        """The client. Raises TargetError for an address or credentials that cannot be used."""
        with self._lock:
            if self._api is None:
                try:
                    self._api = Api(self._paced(), sleep=self.sleep)
                except SourceError as error:
                    raise as_target_error(error) from None
            return self._api

    def send(self, path: str, records: list[str], request_id: str, attempts: Attempts) -> Outcome:
        """Sends one request to a path, whose values are filled in. Raises UnclearAnswer where the API has it and its
        answer is not clear, and TargetError; `attempts` then says whether it may have been taken."""
        api, settings = self.client(), self.settings
        headers = {**settings.headers, "Content-Type": content_type(settings)}
        if settings.idempotency_header is not None:
            headers[settings.idempotency_header] = request_id
        url = api.address(path)
        sent = Sent(
            settings.method,
            url,
            _pairs(settings),
            headers,
            body_of(records, settings),
            f"{settings.method} {api.shown(url)}",
            repeatable=settings.once or settings.on_unknown == "resend",
            moves=False,
        )
        try:
            status, answer = api.delivered(sent, attempts)
        except SourceError as error:
            raise as_target_error(error) from None
        outcome = outcome_of(api, settings, status, answer, len(records))
        if outcome is None:
            raise as_target_error(api.refusal(sent, status, answer))
        return outcome

    def close(self) -> None:
        """Closes the connections."""
        with self._lock:
            if self._api is not None:
                self._api.close()
                self._api = None

    def _paced(self) -> Context:
        connection, most = self.context.connection, self.settings.requests_per_second
        if most is None:
            return self.context
        allowed = connection.config.get("requestsPerSecond")
        slowest = most if allowed is None else min(most, float(allowed))
        return replace(
            self.context, connection=replace(connection, config={**connection.config, "requestsPerSecond": slowest})
        )

    def preview(self) -> str:
        """The request that is sent, for people."""
        settings = self.settings
        url = str(self.context.connection.config.get("url", "")).partition("?")[0].rstrip("/")
        fields = ", ".join(settings.fields)
        return (
            f"-- {settings.method} {url}/{settings.path.lstrip('/')}: up to {settings.batch.rows:,} records and "
            f"{settings.batch.bytes:,} bytes per request, made of {fields}"
        )


def as_target_error(error: SourceError) -> TargetError:
    """An error of the client, as one of a target."""
    code = "not_sent" if error.code == "not_readable" else error.code
    return TargetError(code, error.message, _HINTS.get(error.code, error.hint))


def _pairs(settings: HttpTarget) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in settings.params.items():
        for each in value if isinstance(value, list) else [value]:
            if each is not None:
                pairs.append((name, str(each).lower() if isinstance(each, bool) else str(each)))
    return pairs
