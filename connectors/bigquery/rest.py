"""The REST API: every request goes to a checked address, with a token of the service account."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

from headrace.connectors.bigquery.errors import of_rest
from headrace.connectors.bigquery.login import Access
from headrace.connectors.errors import SourceError
from headrace.connectors.network.reachability import unreachable

PAUSES = (1.0, 2.0, 4.0)
"""Seconds before each retry of a request after a transient failure."""
_ANSWER_BYTES = 64 << 20
_SECONDS = 60.0
_CONFLICT = 409


@contextmanager
def understood(what: str) -> Iterator[None]:
    """Turns responses of an unexpected shape into SourceError(`bad_answer`)."""
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise SourceError(
            "bad_answer", f"The answer about {what} is not one of BigQuery's.", "Check 'endpoint' in the config."
        ) from None


class Rest:
    """Requests below `/bigquery/v2`. May be used from several threads and processes."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.pauses = PAUSES

    def ask(
        self,
        method: str,
        path: str,
        what: str,
        *,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The response; None if the object to create exists already. Requests can be repeated, because every created
        object has a name. Raises SourceError about `what`."""
        tries = 0
        while True:
            try:
                status, answer = self._sent(method, path, body, query)
                if status < httpx.codes.BAD_REQUEST:
                    return answer
                if status == _CONFLICT and method == "POST":
                    return {}
                raise of_rest(status, answer, what)
            except SourceError as error:
                if error.code != "connection_lost" or tries == len(self.pauses):
                    raise
                time.sleep(self.pauses[tries])
                tries += 1

    def _sent(
        self, method: str, path: str, body: Mapping[str, Any] | None, query: Mapping[str, str] | None
    ) -> tuple[int, dict[str, Any]]:
        there = self._access.rest
        address = there.dialled(self._access.networks)[0]
        token = str(self._access.account.token()["token"])
        url = there.at(address)
        url = url.copy_with(raw_path=f"{url.path.rstrip('/')}/bigquery/v2/{path}".encode(), query=None)
        try:
            with (
                httpx.Client(timeout=_SECONDS, follow_redirects=False, trust_env=False) as client,
                client.stream(
                    method,
                    url,
                    params=query,
                    json=body,
                    headers={"Host": there.url.netloc.decode(), "Authorization": f"Bearer {token}"},
                    extensions={"sni_hostname": there.host},
                ) as answer,
            ):
                content = bytearray()
                for piece in answer.iter_bytes():
                    content += piece
                    if len(content) > _ANSWER_BYTES:
                        raise httpx.DecodingError("the answer is too long")
                status = answer.status_code
        except httpx.ConnectError as error:
            raise unreachable(there.host, error) from None
        except httpx.HTTPError as error:
            raise SourceError("connection_lost", f"{there.host}: {_text(error)}.", "Try it again.") from None
        content = content.replace(token.encode(), b"***")  # a server may echo the request, with its credentials
        try:
            found = json.loads(bytes(content) or b"{}")
        except ValueError:
            found = None
        if isinstance(found, dict):
            return status, found
        if status < httpx.codes.BAD_REQUEST:
            raise SourceError("bad_answer", f"{there.host} answers with invalid JSON.", "Check 'endpoint'.")
        return status, {}


def _text(error: httpx.HTTPError) -> str:
    return (str(error) or type(error).__name__)[:200].rstrip(".")
