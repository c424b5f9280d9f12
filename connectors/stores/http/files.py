"""Files on web servers, named by the last part of their URL, as a read-only store of files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import OpenedFile
from headrace.connectors.stores.downloads import TRIES, ConnectionCut, write_at
from headrace.connectors.stores.file_copies import FileCopies, unnamed_file
from headrace.connectors.stores.http.client import HttpClient
from headrace.connectors.stores.remote import changed, checked_path, missing, opened

_BLOCK = 1 << 20
_AT_ONCE = 8
_MANIFEST_BYTES = 16 << 20
_MOST = 10_000
"""The most URLs in a manifest."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The headers of a file. Without an ETag or Last-Modified its version is a hash of its content."""

    size: int | None
    mtime: float
    etag: str
    modified: str
    encoded: bool
    """The response has a Content-Encoding, so it is not the file's own bytes and has no ranges."""

    @property
    def version(self) -> str:
        return self.etag or self.modified

    @property
    def condition(self) -> str:
        """The value for If-Range; a weak ETag does not allow ranges."""
        if self.encoded:
            return ""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.modified


class HttpFiles:
    """A FileStore. Nothing can be moved or written."""

    def __init__(
        self,
        client: HttpClient,
        urls: Sequence[str],
        manifest: str | None = None,
        scratch: Path | None = None,
    ) -> None:
        self._client, self._given, self._manifest, self._scratch = client, urls, manifest, scratch
        self._copies = FileCopies(scratch)
        self._known: Mapping[str, str] | None = None

    def is_file(self, name: str) -> bool:
        return checked_path(name) in self._urls()

    def is_folder(self, name: str) -> bool:
        """Only the root is a folder."""
        return checked_path(name) == ""

    def stat(self, name: str) -> StoredFile | None:
        path = checked_path(name)
        url = self._urls().get(path)
        return None if url is None else self._found(path, url)

    def listing(self, folder: str) -> list[StoredFile]:
        if checked_path(folder):
            raise self.missing(folder)
        self._known = None
        urls = self._urls()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="http") as pool:
            found = [*pool.map(self._found, urls, urls.values())]
        for file, url in zip(found, urls.values(), strict=True):
            if file is None:
                raise SourceError(
                    "file_not_found", f"{self._client.shown(url)} does not exist.", "Correct the address."
                )
        return [file for file in found if file is not None]

    def folders(self, name: str) -> list[str]:
        return []

    @contextmanager
    def opened(self, name: str, *, missing: str = "file_not_found") -> Iterator[OpenedFile]:
        """Opens a local copy of one version."""
        path = checked_path(name)
        url = self._urls().get(path)
        file = None if url is None else self._found(path, url)
        if url is None or file is None:
            raise self.missing(name, missing)

        def fill(into: int) -> None:
            seen = self._downloaded(name, url, into)
            if (os.fstat(into).st_size, seen.version or _hashed(into)) != (file.size, file.version):
                raise changed(name)

        with opened(self._copies, file, fill, lambda: self._found(path, url)) as found:
            yield found

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        return missing(name, code, lambda folder: None if folder else [*self._urls()], "The connector")

    def take(self, name: str, to: str) -> bool:
        """Raises SourceError(`not_movable`)."""
        raise _only_read(name)

    def put(self, name: str, to: str) -> None:
        """Raises SourceError(`not_movable`)."""
        raise _only_read(name)

    def read(self, name: str) -> str | None:
        """None: Headrace writes no files there."""
        return None

    def write(self, name: str, text: str) -> None:
        """Raises SourceError(`not_movable`)."""
        raise _only_read(name)

    def remove(self, name: str) -> None:
        """Raises SourceError(`not_movable`)."""
        raise _only_read(name)

    def remove_folder(self, name: str) -> None:
        """Does nothing."""

    def _urls(self) -> Mapping[str, str]:
        """The URLs by file name, as last listed."""
        if self._known is not None:
            return self._known
        urls = [*self._given, *(self._listed(self._manifest) if self._manifest else ())]
        named: dict[str, str] = {}
        for url in dict.fromkeys(urls):
            name = file_name(url)
            if name in named:
                hint = "Files are identified by the ends of their addresses."
                raise SourceError("bad_option", f"Two addresses end in '{name}'.", hint)
            named[name] = url
        self._known = named
        return named

    def _listed(self, manifest: str) -> list[str]:
        """The URLs in a manifest: a JSON array, `{"files": […]}`, or one per line; of objects, their `url`."""
        with self._answer("GET", manifest) as answer:
            body = b""
            for piece in answer.iter_bytes():
                body += piece
                if len(body) > _MANIFEST_BYTES:
                    raise _bad_manifest(f"has more than {_MANIFEST_BYTES >> 20} MiB")
        text = body.decode("utf-8-sig", errors="replace").strip()
        found: Any = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if text[:1] in ("[", "{"):
            try:
                found = json.loads(text)
            except ValueError:
                raise _bad_manifest("is not JSON") from None
            found = found.get("files") if isinstance(found, dict) else found
        if not isinstance(found, list) or len(found) > _MOST:
            raise _bad_manifest("lists no files" if not isinstance(found, list) else f"lists more than {_MOST:,} files")
        urls = [each.get("url") if isinstance(each, dict) else each for each in found]
        if not all(isinstance(url, str) for url in urls):
            raise _bad_manifest("has an entry without an address")
        return [urljoin(manifest, url) for url in urls]

    def _found(self, name: str, url: str) -> StoredFile | None:
        seen = self._asked(url)
        if seen is None:
            return None
        size, version = seen.size, seen.version
        if size is None or not version:
            into = unnamed_file(self._scratch)
            try:
                self._downloaded(name, url, into)
                size, version = os.fstat(into).st_size, version or _hashed(into)
            finally:
                os.close(into)
        return StoredFile(name, size, seen.mtime, version)

    def _asked(self, url: str) -> _Seen | None:
        """The metadata from HEAD, or from GET if the server does not support HEAD; None if the file does not exist."""
        for method in ("HEAD", "GET"):
            with self._answer(method, url, none=(404, 405, 410, 501)) as answer:
                if answer.status_code in (405, 501) and method == "HEAD":
                    continue
                return None if answer.status_code >= 400 else _seen(answer)
        return None

    def _downloaded(self, name: str, url: str, into: int) -> _Seen:
        """Downloads into an open file. After a cut connection the rest of the same version is requested; a server
        without ranges sends the whole file again."""
        at, failures, first = 0, 0, None
        while True:
            begun = at
            condition = first.condition if first is not None else ""
            headers = {"Range": f"bytes={at}-", "If-Range": condition} if at and condition else {}
            try:
                with self._answer("GET", url, headers, none=(404, 410, 416)) as answer:
                    if answer.status_code >= 400:
                        raise changed(name)
                    seen = _seen(answer)
                    if first is not None and seen.version != first.version:
                        raise changed(name)
                    if answer.status_code != 206:
                        at, first = 0, seen
                        os.ftruncate(into, 0)
                    elif not re.match(rf"bytes {at}-", answer.headers.get("Content-Range", "")):
                        raise SourceError("not_readable", f"{name}: the server returned another part than requested.")
                    for piece in answer.iter_bytes():
                        write_at(into, piece, at)
                        at += len(piece)
                assert first is not None
                if first.size is None or at >= first.size:
                    return first
                raise ConnectionCut("it ended too early")
            except (httpx.TransportError, ConnectionCut) as cut:
                failures = failures + 1 if at <= begun else 1
                if failures >= TRIES:
                    said = self._client.failed(url, cut) if isinstance(cut, httpx.HTTPError) else cut
                    raise SourceError("connection_lost", f"{name} breaks off: {said}", "Retry the run later.") from None

    @contextmanager
    def _answer(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, none: Sequence[int] = ()
    ) -> Iterator[httpx.Response]:
        """A successful response, or one with a status in `none`. Raises SourceError; while the body is read,
        httpx.HTTPError."""
        began = False
        try:
            with self._client.asked(method, url, headers) as answer:
                if answer.status_code >= 400 and answer.status_code not in none:
                    raise self._client.refused(url, answer)
                began = True
                yield answer
        except httpx.HTTPError as error:
            if began:
                raise
            raise self._client.failed(url, error) from None


def file_name(url: str) -> str:
    """The last part of a URL's path. Raises SourceError(`bad_url`) if it is not a file name."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    if not name or "/" in name or "\\" in name or not name.isprintable() or name in (".", ".."):
        shown = url.partition("?")[0][:200]
        raise SourceError("bad_url", f"'{shown}' does not end in the name of a file.", "Give the address of a file.")
    return name


def _seen(answer: httpx.Response) -> _Seen:
    length = answer.headers.get("Content-Length", "")
    whole = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    size = int(whole[1]) if whole else int(length) if length.isdigit() and answer.status_code != 206 else None
    encoded = answer.headers.get("Content-Encoding", "identity") != "identity"
    modified = answer.headers.get("Last-Modified", "")
    try:
        mtime = parsedate_to_datetime(modified).timestamp()
    except (ValueError, TypeError):
        mtime, modified = 0.0, ""
    return _Seen(None if encoded else size, mtime, answer.headers.get("ETag", "").strip(), modified, encoded)


def _hashed(opened: int) -> str:
    digest, at = hashlib.sha256(), 0
    while block := os.pread(opened, _BLOCK, at):
        digest.update(block)
        at += len(block)
    return f"sha256:{digest.hexdigest()}"


def _bad_manifest(what: str) -> SourceError:
    hint = 'It is a JSON array of addresses, {"files": [{"url": …}]}, or an address in each line.'
    return SourceError("bad_manifest", f"The manifest {what}.", hint)


def _only_read(name: str) -> SourceError:
    return SourceError("not_movable", f"'{name}' is on a web server, where nothing can be moved.", "Read it as it is.")
