"""The Storage Read API over gRPC: sessions, and the record batches of their streams.

The channel connects to checked addresses only: no proxy of the environment, no resolver, no service
configuration. Its threads do not survive a fork; a forked process must open a new channel.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headrace.connectors.bigquery.errors import of_stream
from headrace.connectors.bigquery.login import Access
from headrace.connectors.errors import SourceError
from headrace.connectors.sql.relation import Column

_SERVICE = "/google.cloud.bigquery.storage.v1.BigQueryRead"
_CREATE_SECONDS = 120
_READ_SECONDS = 24 * 3600
_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    ("grpc.max_receive_message_length", 128 << 20),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_retries", 0),
)
_process: int | None = None
"""The id of the process that has used gRPC."""
_loading = threading.Lock()


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A snapshot of a table. `expires`: the end of its streams, in seconds since 1970."""

    name: str
    streams: tuple[str, ...]
    rows: int
    expires: float


class Storage:
    """Sessions and streams of one source; each process connects at its first request. Thread-safe."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._lock = threading.Lock()
        self._channel: Any = None
        self._owner: int | None = None
        self._token = ""

    def session(
        self, table: str, what: str, columns: Sequence[Column], *, streams: int, where: str = ""
    ) -> ReadSession:
        """Creates a session of a table: these columns, rows that satisfy `where` (SQL), at most `streams` streams.
        Raises SourceError."""
        from google.cloud.bigquery_storage_v1 import types

        project = f"projects/{self._access.place.project}"
        names = [column.name for column in columns]
        options: dict[str, Any] = {"selected_fields": names, "row_restriction": where}
        if any(column.kind == "TIMESTAMP_PICOS" for column in columns):
            precision = types.ArrowSerializationOptions.PicosTimestampPrecision.TIMESTAMP_PRECISION_PICOS
            options["arrow_serialization_options"] = {"picos_timestamp_precision": precision}
        request = types.CreateReadSessionRequest(
            parent=project,
            read_session={"table": table, "data_format": types.DataFormat.ARROW, "read_options": options},
            max_stream_count=streams,
        )
        with self._errors(what):
            call = self._connected().unary_unary(
                f"{_SERVICE}/CreateReadSession",
                request_serializer=types.CreateReadSessionRequest.serialize,
                response_deserializer=types.ReadSession.deserialize,
            )
            made = call(request, timeout=_CREATE_SECONDS, metadata=self._metadata("read_session.table", table))
        return ReadSession(
            made.name,
            tuple(each.name for each in made.streams),
            int(made.estimated_row_count),
            made.expire_time.timestamp() if made.expire_time else 0.0,
        )

    def batches(self, stream: str, offset: int, what: str, expires: float) -> Iterator[Any]:
        """The pyarrow RecordBatches of a stream after the first `offset` rows. Raises SourceError: `session_expired`,
        and `connection_lost` where it can be read on from an offset."""
        import pyarrow as pa
        from google.cloud.bigquery_storage_v1 import types

        request = types.ReadRowsRequest(read_stream=stream, offset=offset)
        with self._errors(what, expires):
            answers = self._connected().unary_stream(
                f"{_SERVICE}/ReadRows",
                request_serializer=types.ReadRowsRequest.serialize,
                response_deserializer=types.ReadRowsResponse.pb().FromString,
            )(request, timeout=_READ_SECONDS, metadata=self._metadata("read_stream", stream))
            schema = None
            try:
                for answer in answers:
                    if schema is None:
                        schema = pa.ipc.read_schema(pa.py_buffer(answer.arrow_schema.serialized_schema))
                    if answer.row_count:
                        piece = pa.py_buffer(answer.arrow_record_batch.serialized_record_batch)
                        records = pa.ipc.read_record_batch(piece, schema)
                        if self._access.place.storage_endpoint is not None:
                            records.validate(full=True)  # otherwise its offsets are not validated
                        yield records
            except (pa.ArrowException, OSError) as error:
                raise SourceError(
                    "connection_lost", f"A piece of {what} cannot be understood: {error}.", "Try it again."
                ) from None
            finally:
                answers.cancel()

    def again(self) -> None:
        """Reconnects at the next request."""
        with self._lock:
            channel, self._channel = self._channel, None
            if channel is not None and self._owner == os.getpid():
                channel.close()

    def close(self) -> None:
        """Closes the channel."""
        self.again()

    def _connected(self) -> Any:
        with self._lock:
            if self._channel is None or self._owner != os.getpid():
                grpc, there = _library(), self._access.storage
                found = there.dialled(self._access.networks)
                family = "ipv6" if ":" in found[0] else "ipv4"
                same = [each for each in found if (":" in each) == (family == "ipv6")]
                named = [f"[{each}]" if ":" in each else each for each in same]
                target = f"{family}:{','.join(f'{each}:{there.port}' for each in named)}"
                options = [*_OPTIONS, ("grpc.default_authority", there.url.netloc.decode())]
                if there.url.scheme == "http":
                    self._channel = grpc.insecure_channel(target, options)
                else:
                    options.append(("grpc.ssl_target_name_override", there.host))
                    self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
                self._owner = os.getpid()
            return self._channel

    def _metadata(self, name: str, value: str) -> tuple[tuple[str, str], ...]:
        self._token = str(self._access.account.token()["token"])
        return (
            ("authorization", f"Bearer {self._token}"),
            ("x-goog-request-params", f"{name}={quote(value, safe='/')}"),
        )

    @contextmanager
    def _errors(self, what: str, expires: float | None = None) -> Iterator[None]:
        grpc = _library()
        try:
            yield
        except grpc.RpcError as error:
            details = str(error.details()).replace(
                self._token or "\0", "***"
            )  # a server may echo the request, with its credentials
            raise of_stream(error.code().name, details, what, expires) from None


def _library() -> Any:
    """Imports gRPC. Raises ModuleNotFoundError; SourceError in a fork of a process that has used it, where it could
    hang."""
    global _process  # noqa: PLW0603
    with _loading:
        if _process not in (None, os.getpid()):
            raise SourceError(
                "driver_forked",
                "gRPC was used before this process was forked from another, and cannot work here.",
                "Read from BigQuery in the process that reads only.",
            )
        import grpc

        _process = os.getpid()
    return grpc
