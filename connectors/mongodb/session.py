"""One client of a source in this process: sends commands and translates errors."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.dialling import Dialler
from headrace.connectors.mongodb.errors import failed
from headrace.connectors.mongodb.login import Door

SECONDS = 6 * 3600.0
"""How long the server may work on one question unless the settings say otherwise."""


class Session:
    """Questions to one database. Its client is made when it is first asked, and again in a process that was forked; it
    may be used from several threads. Errors are SourceErrors about `what`."""

    def __init__(self, door: Door, *, seconds: float = SECONDS) -> None:
        self._door, self._seconds = door, seconds
        self._lock = threading.Lock()
        self._client: Any = None
        self._dialler: Dialler | None = None
        self._process = 0

    @property
    def database(self) -> str:
        """Its name."""
        return self._door.database

    @property
    def tls(self) -> bool:
        """Whether the connection is under TLS."""
        return self._door.tls

    @property
    def place(self) -> str:
        """The hosts, for people."""
        return self._door.name

    def command(self, what: str, name: str, *, database: str | None = None, **more: Any) -> dict[str, Any]:
        """The answer to a command that only looks. Raises SourceError."""
        with self.translating_errors(what):
            return dict(self._connected()[database or self.database].command(name, **more))

    def collections(self, name: str | None = None) -> list[dict[str, Any]]:
        """The collections and views that the login may read, by name and type. Raises SourceError."""
        only = {} if name is None else {"name": name}
        with self.translating_errors("the list of collections"):
            found = self._connected()[self.database].list_collections(
                filter=only, nameOnly=True, authorizedCollections=True
            )
            return [dict(each) for each in found]

    def estimate(self, collection: str) -> int:
        """About how many documents a collection has. Raises SourceError."""
        with self.translating_errors(self._called(collection)):
            return int(self._of(collection).estimated_document_count(maxTimeMS=self._millis))

    def aggregated(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The few documents that a pipeline of ours gives. Raises SourceError."""
        with self.translating_errors(self._called(collection)):
            return list(self._of(collection).aggregate(list(pipeline), allowDiskUse=True, maxTimeMS=self._millis))

    def raw(
        self,
        collection: str,
        filter_: Mapping[str, Any],
        *,
        projection: Mapping[str, int] | None = None,
        order: Sequence[tuple[str, int]] = (),
        rows: int = 0,
        limit: int = 0,
    ) -> Iterator[bytes]:
        """Batches of documents as the server sends them, of at most so many. Raises SourceError."""
        with self.translating_errors(self._called(collection)):
            cursor = self._of(collection).find_raw_batches(
                filter_,
                projection,
                sort=list(order) or None,
                batch_size=rows,
                limit=limit,
                max_time_ms=self._millis,
                allow_disk_use=True if order else None,
            )
            try:
                for batch in cursor:
                    if batch:
                        yield bytes(batch)
            finally:
                with suppress(Exception):  # the server ends it by itself
                    cursor.close()

    def sampled(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> bytes:
        """The few documents that a pipeline of ours gives, as the server sends them. Raises SourceError."""
        from bson.codec_options import CodecOptions
        from bson.raw_bson import RawBSONDocument

        raw: Any = CodecOptions(document_class=RawBSONDocument)
        with self.translating_errors(self._called(collection)):
            asked = self._of(collection).with_options(codec_options=raw)
            found = asked.aggregate(list(pipeline), allowDiskUse=True, maxTimeMS=self._millis)
            return b"".join(each.raw for each in found)

    def again(self) -> None:
        """Forgets the client: the next question makes another."""
        with self._lock:
            client, self._client = self._client, None
            mine = self._process == os.getpid()
        if client is not None and mine:
            client.close()

    close = again

    @contextmanager
    def translating_errors(self, what: str) -> Iterator[None]:
        """The driver's errors in plain words."""
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except PyMongoError as error:
            if self._dialler is not None and self._dialler.refusals:
                raise self._dialler.refusals.pop() from None
            raise failed(error, what, self.place) from None
        except (BSONError, struct.error, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            # of an answer that is none: the driver trusts a server that speaks its protocol
            text = f"{what} cannot be read: what answers at {self.place} is no MongoDB ({type(error).__name__})."
            raise SourceError("bad_data", text, "Check 'host' and 'port'.") from None

    @property
    def _millis(self) -> int:
        return max(1, int(self._seconds * 1000))

    def _called(self, collection: str) -> str:
        return f"{self.database}.{collection}"

    def _of(self, collection: str) -> Any:
        return self._connected()[self.database][collection]

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None or self._process != os.getpid():
                # the threads of a client are not in a fork of its process
                self._client, self._dialler = self._door.client(seconds=self._seconds)
                self._process = os.getpid()
            return self._client
