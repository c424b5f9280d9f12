"""Where events go: to a URL, into a file, or both, by the client's own transports."""

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

from catalog.settings import Settings

TIMEOUT_S = 2.0
"""For connecting and for each answer. Nothing is sent twice: the next event says more."""


class NotTold(Exception):
    """Somebody was not told; the text says who and why, without what a URL may hide."""


class Url:
    """An OpenLineage API."""

    def __init__(self, url: str, api_key: str) -> None:
        auth = ApiKeyTokenProvider({"apiKey": api_key}) if api_key else TokenProvider({})
        config = HttpConfig(url=url, timeout=TIMEOUT_S, auth=auth, retry={"total": 0})
        self._client = OpenLineageClient(transport=HttpTransport(config))
        self._host = urlsplit(url).netloc.rpartition("@")[2]

    def send(self, event: RunEvent) -> None:
        """Raises NotTold."""
        try:
            self._client.emit(event)
        except Exception as error:
            if isinstance(error, HTTPError) and error.response is not None:
                raise NotTold(f"{self._host} answered {error.response.status_code}") from error
            raise NotTold(f"{self._host} cannot be reached ({type(error).__name__})") from error


class File:
    """A file with one event a line, which the processes of many runs add to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._client = OpenLineageClient(transport=FileTransport(FileConfig(str(path), append=True)))

    def send(self, event: RunEvent) -> None:
        """Raises NotTold."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a") as held:  # a long line may be written in pieces
                fcntl.flock(held, fcntl.LOCK_EX)
                self._client.emit(event)
        except Exception as error:
            raise NotTold(f"{self._path} cannot be written ({error})") from error


def recipients(settings: Settings) -> Iterator[Url | File]:
    """Everybody who is to be told."""
    if settings.openlineage_url:
        key = settings.openlineage_api_key
        yield Url(settings.openlineage_url, key.get_secret_value() if key is not None else "")
    if settings.openlineage_file:
        yield File(Path(settings.openlineage_file))
