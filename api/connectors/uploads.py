"""Files of connectors of type `csv_upload`: upload, list, delete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from headrace.api.connectors.schemas import UploadedFile
from headrace.api.connectors.service import owned_connector
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.catalog.settings import Settings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.local.uploads import Receiver, Upload, Uploads, checked_name
from headrace.flows.tenant_files import files_of
from headrace.ir.problems import Problem

_PATH = re.compile(r"(?:/api/v1)?/connectors/[^/]+/files")
_MULTIPART_OVERHEAD_BYTES = 64 * 1024
"""The most bytes of a request besides the file itself."""
_CHUNK_BYTES = 1 << 20


def upload_limit(settings: Settings, scope: Scope) -> int | None:
    """The body limit in bytes of a file upload; None for other requests."""
    if scope["method"] == "POST" and _PATH.fullmatch(scope["path"]):
        return settings.max_upload_bytes + _MULTIPART_OVERHEAD_BYTES
    return None


def list_files(context: RequestContext, connector_id: str) -> list[UploadedFile]:
    """All files, by name. Raises ApiError 404, also for a connector of another type."""
    with _source_errors_as_400():
        return [_shown(each) for each in _uploads(context, connector_id).all()]


def delete_file(context: RequestContext, connector_id: str, name: str) -> None:
    """Deletes a file. Raises ApiError 404."""
    uploads = _uploads(context, connector_id)
    if all(each.name != name for each in uploads.all()):
        raise ApiError(404, "There is no such file")
    uploads.remove(name)


async def receive(
    context: RequestContext, request: Request, connector_id: str, *, replace: bool
) -> tuple[UploadedFile, bool]:
    """Stores the one file of a multipart body while it is received; the second value is true if the name is new. The
    same content under an existing name changes nothing; other content needs `replace`. Raises ApiError: 400, 404, 409,
    413, 415."""
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise ApiError(415, "Send the file as multipart/form-data: curl -F file=@orders.csv")
    uploads = await run_in_threadpool(_uploads, context, connector_id)
    incoming = _IncomingUpload(uploads, options[b"boundary"], context.services.settings)
    try:
        waiting = bytearray()
        async for piece in request.stream():
            waiting += piece
            if len(waiting) >= _CHUNK_BYTES:
                await run_in_threadpool(incoming.feed, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(incoming.feed, bytes(waiting))
        return await run_in_threadpool(incoming.finish, replace=replace)
    finally:
        await run_in_threadpool(incoming.close)


class _IncomingUpload:
    """A multipart body, parsed while it is received. The file has a temporary name until it is complete."""

    def __init__(self, uploads: Uploads, boundary: bytes, settings: Settings) -> None:
        self._uploads = uploads
        self._settings = settings
        self._there = uploads.size
        self._stack = ExitStack()
        self._receiver: Receiver | None = None
        self._name: str | None = None
        self._ended = self._within = False
        self._header, self._value = b"", b""
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._all,
            },
        )

    def feed(self, piece: bytes) -> None:
        """Parses a part of the body. Raises ApiError."""
        try:
            with _source_errors_as_400():
                self._parser.write(piece)
        except MultipartParseError:
            raise _bad_upload("The body is not multipart/form-data as its header says") from None

    def finish(self, *, replace: bool) -> tuple[UploadedFile, bool]:
        """Publishes the file under its name; returns as `receive`. Raises ApiError."""
        with _source_errors_as_400():
            if not self._ended:
                raise _bad_upload("The body ends before its last boundary: nothing was kept")
            if self._receiver is None or self._name is None:
                raise _bad_upload("The body has no part with a file name: curl -F file=@orders.csv")
            there = self._uploads.find(self._name)
            if there is not None:
                if there.checksum == self._receiver.checksum:
                    self._drop()
                    return _shown(there), False
                if not replace:
                    self._drop()
                    problem = Problem("file", "exists", f"There is another file '{self._name}'", "send ?replace=true")
                    raise ApiError(409, problem.message, details=[problem])
            self._stack.close()
            kept = self._uploads.find(self._name)
            assert kept is not None
            return _shown(kept), there is None

    def close(self) -> None:
        """Discards a file that is not complete."""
        self._drop()

    def _drop(self) -> None:
        with suppress(_Discarded):
            self._stack.__exit__(_Discarded, _Discarded(), None)

    def _begin(self) -> None:
        self._disposition, self._within = b"", False

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"filename" not in options:
            return
        if self._receiver is not None:
            raise _bad_upload("Send one file in a request")
        self._name = checked_name(options[b"filename"].decode("utf-8", "replace"))
        self._receiver = self._stack.enter_context(self._uploads.receiving(self._name))
        self._within = True

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._within or self._receiver is None:
            return
        self._receiver.take(data[start:end])
        if self._receiver.size > self._settings.max_upload_bytes:
            raise ApiError(413, f"A file has at most {self._settings.max_upload_bytes} bytes")
        most = self._settings.max_uploads_bytes
        if self._there + self._receiver.size > most:
            raise ApiError(413, f"The files of a connector have at most {most} bytes: delete some")

    def _end(self) -> None:
        self._within = False

    def _all(self) -> None:
        self._ended = True


class _Discarded(Exception):
    """Discards the file on leaving its context."""


def _uploads(context: RequestContext, connector_id: str) -> Uploads:
    with context.catalog() as catalog:
        connector = owned_connector(catalog, connector_id)
        if connector.type != "csv_upload":
            raise ApiError(404, f"A connector of type {connector.type} takes no files: make one of type csv_upload")
    return Uploads(files_of(context.services.settings, context.principal.tenant_id), connector_id)


@contextmanager
def _source_errors_as_400() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise ApiError(400, error.message, details=[Problem("file", error.code, error.message, error.hint)]) from error


def _bad_upload(message: str) -> ApiError:
    return ApiError(400, message, details=[Problem("file", "bad_upload", message)])


def _shown(upload: Upload) -> UploadedFile:
    return UploadedFile(name=upload.name, size=upload.size, checksum=upload.checksum, uploaded_at=upload.uploaded_at)
