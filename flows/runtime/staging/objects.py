"""Files exchanged between stages in an S3-compatible object store, for workers that share no folder.

polars reads and writes local files (in `scratch`), which this module uploads and downloads: there is one client with
one set of credentials, retries and error texts, and a file that is read several times is downloaded once.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
from obstore.exceptions import BaseError
from obstore.store import from_url

from headrace.flows.runtime.staging.scratch import scratch_folder
from headrace.flows.runtime.staging.storage import FORGOTTEN_AFTER_S, StagingFailed, map_in_threads

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

_OURS = ".rows"
"""The suffix of every folder created here; nothing else at that URL is read or removed."""
_BEGUN = ".begun"
_CHUNK = 8 * 1024 * 1024
_END = 64 * 1024
"""Bytes read for the footer of a Parquet file, which is seldom longer."""
PATIENCE: RetryConfig = {
    "max_retries": 12,
    "retry_timeout": timedelta(minutes=2),
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=15), "base": 2},
}
HASTE: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=5)}
"""For `probe`."""


class ObjectFolder:
    """A StagingPlace with the prefix `name` below `url`, such as `s3://bucket/prefix`.

    Credentials, region and endpoint come from the environment (`AWS_…`) or the machine's role.
    """

    at_once = 8

    def __init__(self, url: str, name: str, retry: RetryConfig | None = None) -> None:
        self._url, self._folder, self._retry = url.rstrip("/"), f"{name}{_OURS}", retry or PATIENCE

    @cached_property
    def _store(self) -> ObjectStore:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        client: ClientConfig = {
            "allow_http": endpoint.startswith("http://"),
            "read_timeout": "30s",
            "timeout": "1h",  # large files take long; read_timeout detects a stalled transfer
        }
        return from_url(self._url, client_options=client, retry_config=self._retry)

    def begin(self, *, afresh: bool) -> None:
        with self._explained():
            folders = obstore.list_with_delimiter(self._store)["common_prefixes"]
        for folder in folders:
            if folder.endswith(_OURS) and folder != self._folder:
                with suppress(BaseError, OSError):
                    self._remove_if_forgotten(folder)
        if afresh:
            self.remove()
        with self._explained():
            obstore.put(self._store, f"{self._folder}/{_BEGUN}", b"")

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        with self._scratch() as folder:
            path = folder / uuid4().hex
            try:
                yield path
                with self._explained():
                    obstore.put(self._store, f"{self._folder}/{name}", path, chunk_size=_CHUNK, max_concurrency=4)
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def fetched(self, names: Sequence[str]) -> Iterator[list[Path]]:
        """Downloads the files; they use local disk space inside the `with` block."""
        moves: list[tuple[str, Path]] = []
        try:
            with self._scratch() as folder:
                moves += [(name, folder / f"{uuid4().hex}.parquet") for name in names]
                map_in_threads(self._fetch, moves, self.at_once)
            yield [path for _, path in moves]
        finally:
            for _, path in moves:
                path.unlink(missing_ok=True)

    def _fetch(self, move: tuple[str, Path]) -> None:
        name, path = move
        with path.open("wb") as file:
            for chunk in self._chunks(name):
                file.write(chunk)

    def _chunks(self, name: str) -> Iterator[obstore.Bytes]:
        with self._explained():
            # The stream resumes at the position where a response broke off.
            yield from obstore.get(self._store, f"{self._folder}/{name}").stream(min_chunk_size=_CHUNK)

    def height(self, name: str) -> int:
        """The number of rows of a file; reads only its footer."""
        path = f"{self._folder}/{name}"
        with self._explained():
            size = obstore.head(self._store, path)["size"]
            end = self._end(path, size, _END)
            if (footer := int.from_bytes(end[-8:-4], "little") + 8) > len(end):
                end = self._end(path, size, footer)
        return int(pq.read_metadata(pa.BufferReader(end)).num_rows)

    def _end(self, path: str, size: int, length: int) -> bytes:
        return obstore.get_range(self._store, path, start=max(0, size - length), end=size).to_bytes()

    def list(self, below: str) -> Iterator[tuple[str, int]]:
        with self._explained():
            found = [
                (each["path"].removeprefix(f"{self._folder}/"), each["size"])
                for page in obstore.list(self._store, f"{self._folder}/{below}", chunk_size=1000)
                for each in page
            ]
        yield from sorted(found)

    def delete(self, name: str) -> None:
        with self._explained(), suppress(FileNotFoundError):
            obstore.delete(self._store, f"{self._folder}/{name}")

    def remove(self) -> None:
        """Removes all files of the run. Raises StagingFailed."""
        with self._explained():
            self._remove(self._folder)

    def probe(self) -> None:
        path = f"probe-{uuid4().hex}"
        with self._explained():
            obstore.put(self._store, path, b"rows")
            try:
                obstore.list_with_delimiter(self._store)
                obstore.get(self._store, path).bytes()
            finally:
                obstore.delete(self._store, path)

    def _remove_if_forgotten(self, folder: str) -> None:
        since = time.time() - FORGOTTEN_AFTER_S
        with suppress(FileNotFoundError):  # an upload that ended after its run
            if obstore.head(self._store, f"{folder}/{_BEGUN}")["last_modified"].timestamp() > since:
                return
        times = (each["last_modified"].timestamp() for page in obstore.list(self._store, folder) for each in page)
        if max(times, default=0) < since:
            self._remove(folder)

    def _remove(self, folder: str) -> None:
        for _ in range(3):  # another attempt may remove files at the same time
            paths = [each["path"] for page in obstore.list(self._store, folder) for each in page]
            with suppress(FileNotFoundError):
                if paths:
                    obstore.delete(self._store, sorted(paths, key=lambda path: path.endswith(f"/{_BEGUN}")))
                return

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        try:
            yield scratch_folder()
        except OSError as error:
            reason = f"{error.strerror or error} in the folder for temporary files"
            raise StagingFailed(self._url, reason, "Make room there or set TMPDIR to another folder") from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError, ValueError) as error:
            # The client's dump of the request and its signature must not be logged.
            raise StagingFailed(self._url, *_explanation(str(error))) from None


def _explanation(said: str) -> tuple[str, str]:
    """The reason and what to do, from the client's error text and the server's response in it."""
    code, message = (_element(said, tag) for tag in ("Code", "Message"))
    reason = f"{code} ({message})" if message else code or said.partition("\n")[0][:300].rstrip(". ")
    for signs, remedy in _REMEDIES.items():
        if any(sign in said for sign in signs):
            return reason, remedy
    return reason, "See that the object store answers and that AWS_ENDPOINT_URL is right"


def _element(said: str, tag: str) -> str:
    found = re.search(rf"<{tag}>([^<]{{1,300}})</{tag}>", said)
    return found[1].strip(". ") if found else ""


_REMEDIES = {
    ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"): (
        "Make the bucket or set HEADRACE_STAGING_URL to another"
    ),
    ("NoSuchKey", "BlobNotFound"): "Make sure that nothing else deletes objects there",
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "401 Unauthorized", "latest/api"): (
        "Give valid credentials by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or by a role of the machine"
    ),
    ("403 Forbidden", "AccessDenied"): "Let its user list, read, write and delete objects there",
    ("incorrectly configured region", "AuthorizationHeaderMalformed"): "Set AWS_REGION to the bucket's region",
}
