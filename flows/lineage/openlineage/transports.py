"""Recipients of events: a URL, a file, or both, by the client's transports."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.file import FileConfig, FileTransport
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpConfig, HttpTransport, TokenProvider
from requests import HTTPError

from headrace.catalog.settings import Settings

TIMEOUT_S = 2.0
"""Timeout for connecting and for an answer. Events are not sent again: the next one has more."""


class DeliveryFailed(Exception):
    """An event was not delivered; the text has the recipient, without credentials of a URL, and the reason."""


class ApiTransport:
    """An OpenLineage API."""

    def __init__(self, url: str, api_key: str) -> None:
        auth = ApiKeyTokenProvider({"apiKey": api_key}) if api_key else TokenProvider({})
        config = HttpConfig(url=url, timeout=TIMEOUT_S, auth=auth, retry={"total": 0})
        self._client = OpenLineageClient(transport=HttpTransport(config))
        self._host = urlsplit(url).netloc.rpartition("@")[2]

    def send(self, event: RunEvent) -> None:
        """Raises NotSent."""
        try:
            self._client.emit(event)
        except Exception as error:
            if isinstance(error, HTTPError) and error.response is not None:
                raise DeliveryFailed(f"{self._host} answered {error.response.status_code}") from error
            raise DeliveryFailed(f"{self._host} cannot be reached ({type(error).__name__})") from error


class LogFileTransport:
    """A file with one event per line, shared by the processes of many runs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = OpenLineageClient(transport=FileTransport(FileConfig(str(path), append=True)))

    def send(self, event: RunEvent) -> None:
        """Raises NotSent."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as held:  # a long line may be written in several pieces
                fcntl.flock(held, fcntl.LOCK_EX)
                self._client.emit(event)
        except Exception as error:
            raise DeliveryFailed(f"{self._path} cannot be written ({error})") from error


def configured_transports(settings: Settings) -> Iterator[ApiTransport | LogFileTransport]:
    """The configured recipients."""
    if settings.openlineage_url:
        key = settings.openlineage_api_key
        yield ApiTransport(settings.openlineage_url, key.get_secret_value() if key is not None else "")
    if settings.openlineage_file:
        yield LogFileTransport(Path(settings.openlineage_file))
