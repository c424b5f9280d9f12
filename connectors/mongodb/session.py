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
from headrace.connectors.mongodb.login import Access

SECONDS = 6 * 3600.0
"""The default time limit of one command, in seconds."""


class Session:
    """Commands to one database. The client is created at the first command, and again in a forked process; it is
    thread-safe. Errors are SourceErrors about `what`."""

    def __init__(self, access: Access, *, seconds: float = SECONDS) -> None:
        self._access, self._seconds = access, seconds
        self._lock = threading.Lock()
        self._client: Any = None
        self._dialler: Dialler | None = None
        self._process = 0

    @property
    def database(self) -> str:
        """The database's name."""
        return self._access.database

    @property
    def tls(self) -> bool:
        """Whether the connection is under TLS."""
        return self._access.tls

    @property
    def place(self) -> str:
        """The hosts, for messages."""
        return self._access.name

    def command(self, what: str, name: str, *, database: str | None = None, **more: Any) -> dict[str, Any]:
        """The response to a read-only command. Raises SourceError."""
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
        """The estimated number of documents of a collection. Raises SourceError."""
        with self.translating_errors(self._called(collection)):
            return int(self._of(collection).estimated_document_count(maxTimeMS=self._millis))

    def aggregated(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The few documents that an internal aggregation returns. Raises SourceError."""
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
        """Raw batches of at most `size` documents. Raises SourceError."""
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
        """The few documents that an internal aggregation returns, as raw bytes. Raises SourceError."""
        from bson.codec_options import CodecOptions
        from bson.raw_bson import RawBSONDocument

        raw: Any = CodecOptions(document_class=RawBSONDocument)
        with self.translating_errors(self._called(collection)):
            asked = self._of(collection).with_options(codec_options=raw)
            found = asked.aggregate(list(pipeline), allowDiskUse=True, maxTimeMS=self._millis)
            return b"".join(each.raw for each in found)

    def again(self) -> None:
        """Drops the client; the next command creates another."""
        with self._lock:
            client, self._client = self._client, None
            mine = self._process == os.getpid()
        if client is not None and mine:
            client.close()

    close = again

    @contextmanager
    def translating_errors(self, what: str) -> Iterator[None]:
        """Translates the driver's errors to SourceErrors."""
        from bson.errors import BSONError
        from pymongo.errors import PyMongoError

        try:
            yield
        except PyMongoError as error:
            if self._dialler is not None and self._dialler.refusals:
                raise self._dialler.refusals.pop() from None
            raise failed(error, what, self.place) from None
        except (BSONError, struct.error, ValueError, LookupError, TypeError, AttributeError, AssertionError) as error:
            # malformed responses: the driver assumes a correct server
            text = f"{what} cannot be read: the server at {self.place} is not MongoDB ({type(error).__name__})."
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
                # a client's threads do not survive a fork
                self._client, self._dialler = self._access.client(seconds=self._seconds)
                self._process = os.getpid()
            return self._client
