"""The double of a Databricks SQL warehouse: its Thrift protocol over HTTP, in this process, before DuckDB.

The client's own classes read and write the protocol. Statements are translated by sqlglot from Databricks' SQL; what
DuckDB lacks is answered here: DESCRIBE QUERY and HISTORY, versions of tables, SET, the session. Rows go out as LZ4
Arrow batches in the form the protocol documents, or in one that a test has made itself (`can`).
"""

from __future__ import annotations

import base64
import json
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import duckdb
import lz4.frame
import pyarrow as pa
import sqlglot
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from sqlglot import exp
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.databricks.connector import DATABRICKS
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.network.egress import Network
from headrace.connectors.sql.source import SqlSource
from headrace.ir.schema import Schema

TOKEN, CLIENT, SECRET = "dapi-the-token", "principal-1", "the-secret-of-the-principal"
PATH = "/sql/1.0/warehouses/abc"
LOOPBACK = (ip_network("127.0.0.0/8"),)
_FINISHED, _ERROR = ttypes.TOperationState.FINISHED_STATE, ttypes.TOperationState.ERROR_STATE
_V7 = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
_OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
_NATIVE = {
    **{"TINYINT": "tinyint", "SMALLINT": "smallint", "INTEGER": "int", "BIGINT": "bigint", "HUGEINT": "decimal(38,0)"},
    **{"FLOAT": "float", "DOUBLE": "double", "BOOLEAN": "boolean", "VARCHAR": "string", "BLOB": "binary"},
    **{"DATE": "date", "TIMESTAMP": "timestamp_ntz", "TIMESTAMP WITH TIME ZONE": "timestamp", "JSON": "variant"},
}
_THRIFT = {
    **{"tinyint": "TINYINT", "smallint": "SMALLINT", "int": "INT", "bigint": "BIGINT", "float": "FLOAT"},
    **{"double": "DOUBLE", "boolean": "BOOLEAN", "binary": "BINARY", "date": "DATE", "timestamp": "TIMESTAMP"},
    **{"timestamp_ntz": "TIMESTAMP", "decimal": "DECIMAL"},
}


class Double:
    """The catalog `dev` with the schema `sales`; the token, and the principal, are let in."""

    def __init__(self) -> None:
        self._alone = threading.RLock()
        self._results: dict[bytes, tuple[pa.Table, list[str], int]] = {}
        self._sessions: set[bytes] = set()
        self.seen: list[str] = []
        self.statements: list[str] = []
        self.canned: dict[str, tuple[list[tuple[str, str]], pa.Table]] = {}
        self.tokens = 0
        self.clear()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = 1 << 16

            def do_POST(self) -> None:
                outer._answer(self)

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.01,), name="databricks", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def clear(self) -> None:
        """As at first: without tables, and well-behaved."""
        with self._alone:
            self._database = duckdb.connect(":memory:")
            self._database.execute(
                "ATTACH ':memory:' AS dev; CREATE SCHEMA dev.sales; USE dev.sales; SET TimeZone='UTC'"
            )
            self._results.clear()
            self._sessions.clear()
            self.canned.clear()
            self.seen.clear()
            self.statements.clear()
            self.tokens = self.version = self.failFetches = self.cutFetches = 0
            self.answerRows = 10_000
            self.denied = self.signedOut = False

    def make(self, *statements: str) -> None:
        """Runs statements of DuckDB as an administrator; each is a version."""
        with self._alone:
            for text in statements:
                self._database.execute(text)
                self.version += 1

    def can(self, name: str, columns: list[tuple[str, str]], rows: pa.Table) -> None:
        """A table has these columns by Databricks' types, and gives these rows whatever is selected of it."""
        self.canned[name] = (columns, rows)

    @property
    def config(self) -> dict[str, Any]:
        """A connector's."""
        where = {"catalog": "dev", "schema": "sales", "url": f"http://127.0.0.1:{self.port}"}
        return {"host": "dbc-1.cloud.databricks.com", "httpPath": PATH, **where}

    @property
    def credentials(self) -> dict[str, Any]:
        return {"token": TOKEN}

    def context(
        self,
        settings: dict[str, Any],
        fields: Schema = (),
        *,
        networks: tuple[Network, ...] = LOOPBACK,
        credentials: dict[str, Any] | None = None,
        **config: Any,
    ) -> Context:
        given = {name: value for name, value in (self.config | config).items() if value is not None}
        login = self.credentials if credentials is None else credentials
        connection = Connection("conn_1", "databricks", given, login)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), networks), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> SqlSource:
        return self.opened(self.context(settings, fields))

    def opened(self, context: Context) -> SqlSource:
        source = DATABRICKS.source(context)
        assert isinstance(source, SqlSource)
        source._pauses = (0.01, 0.01)
        return source

    # --- HTTP

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        self.seen.append(f"{request.headers.get('Host')} {request.path}")
        status, content, headers = 200, b"", {}
        if request.path == "/oidc/v1/token":
            status, content = self._token(request, body)
        elif request.headers.get("Authorization") not in (f"Bearer {TOKEN}", "Bearer m2m") or self.signedOut:
            status, headers = 401, {"x-databricks-reason-phrase": "Invalid access token."}
        elif request.path != PATH:
            status, headers = 404, {"x-databricks-reason-phrase": "Unknown endpoint."}
        else:
            into, out = TMemoryBuffer(body), TMemoryBuffer()
            TCLIService.Processor(self).process(TBinaryProtocol(into), TBinaryProtocol(out))
            content = out.getvalue()
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if self.cutFetches and b"FetchResults" in body[:40]:
            self.cutFetches -= 1
            content, request.close_connection = content[: len(content) // 2], True
        request.wfile.write(content)

    def _token(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        given = base64.b64decode(request.headers.get("Authorization", "Basic ").partition(" ")[2]).decode()
        form = parse_qs(body.decode())
        if given != f"{CLIENT}:{SECRET}" or form != {"grant_type": ["client_credentials"], "scope": ["all-apis"]}:
            return 401, b'{"error": "invalid_client"}'
        self.tokens += 1
        return 200, json.dumps({"access_token": "m2m", "expires_in": 3600}).encode()

    # --- the protocol

    def OpenSession(self, req: Any) -> Any:
        where = req.initialNamespace
        if where is not None and (where.catalogName, where.schemaName) not in (("dev", "sales"), ("dev", None)):
            status = ttypes.TStatus(
                statusCode=ttypes.TStatusCode.ERROR_STATUS,
                errorMessage=f"[SCHEMA_NOT_FOUND] The schema `{where.schemaName}` cannot be found.",
            )
            return ttypes.TOpenSessionResp(status=status, serverProtocolVersion=_V7)
        handle = ttypes.TSessionHandle(sessionId=_handle())
        self._sessions.add(handle.sessionId.guid)
        return ttypes.TOpenSessionResp(
            status=_OK,
            serverProtocolVersion=_V7,
            sessionHandle=handle,
            canUseMultipleCatalogs=True,
        )

    def CloseSession(self, req: Any) -> Any:
        self._sessions.discard(req.sessionHandle.sessionId.guid)
        return ttypes.TCloseSessionResp(status=_OK)

    def ExecuteStatement(self, req: Any) -> Any:
        operation = ttypes.TOperationHandle(
            operationId=_handle(), operationType=ttypes.TOperationType.EXECUTE_STATEMENT, hasResultSet=True
        )
        if req.sessionHandle.sessionId.guid not in self._sessions:
            status = ttypes.TStatus(
                statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS, errorMessage="Invalid SessionHandle"
            )
            return ttypes.TExecuteStatementResp(status=status)
        assert (req.canReadArrowResult, req.canDownloadResult) == (True, False)
        self.statements.append(req.statement)
        try:
            with self._alone:
                table, natives = self._run(req.statement)
        except (duckdb.Error, sqlglot.errors.SqlglotError, PermissionError) as error:
            state = ttypes.TGetOperationStatusResp(status=_OK, operationState=_ERROR, displayMessage=_told(error))
            direct = ttypes.TSparkDirectResults(operationStatus=state)
            return ttypes.TExecuteStatementResp(status=_OK, operationHandle=operation, directResults=direct)
        self._results[operation.operationId.guid] = (table, natives, 0)
        state = ttypes.TGetOperationStatusResp(status=_OK, operationState=_FINISHED)
        direct = ttypes.TSparkDirectResults(operationStatus=state, resultSetMetadata=self._metadata(operation))
        return ttypes.TExecuteStatementResp(status=_OK, operationHandle=operation, directResults=direct)

    def GetOperationStatus(self, req: Any) -> Any:
        return ttypes.TGetOperationStatusResp(status=_OK, operationState=_FINISHED)

    def GetResultSetMetadata(self, req: Any) -> Any:
        return self._metadata(req.operationHandle)

    def FetchResults(self, req: Any) -> Any:
        if self.failFetches:
            self.failFetches -= 1
            status = ttypes.TStatus(statusCode=ttypes.TStatusCode.ERROR_STATUS, errorMessage="the warehouse went away")
            return ttypes.TFetchResultsResp(status=status)
        guid = req.operationHandle.operationId.guid
        table, natives, at = self._results[guid]
        rows = min(self.answerRows, req.maxRows)
        piece = table.slice(at, rows)
        self._results[guid] = (table, natives, at + piece.num_rows)
        batches = [
            ttypes.TSparkArrowBatch(batch=lz4.frame.compress(_message(batch)), rowCount=batch.num_rows)
            for batch in piece.combine_chunks().to_batches()
        ]
        results = ttypes.TRowSet(startRowOffset=at, rows=[], arrowBatches=batches)
        more = at + piece.num_rows < table.num_rows
        metadata = self._metadata(req.operationHandle)
        return ttypes.TFetchResultsResp(status=_OK, hasMoreRows=more, results=results, resultSetMetadata=metadata)

    def CloseOperation(self, req: Any) -> Any:
        self._results.pop(req.operationHandle.operationId.guid, None)
        return ttypes.TCloseOperationResp(status=_OK)

    def CancelOperation(self, req: Any) -> Any:
        return ttypes.TCancelOperationResp(status=_OK)

    def _metadata(self, operation: Any) -> Any:
        table, natives, _ = self._results[operation.operationId.guid]
        columns = [
            ttypes.TColumnDesc(columnName=name, typeDesc=_described(native), position=place)
            for place, (name, native) in enumerate(zip(table.column_names, natives, strict=True))
        ]
        return ttypes.TGetResultSetMetadataResp(
            status=_OK,
            schema=ttypes.TTableSchema(columns=columns),
            resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
            lz4Compressed=True,
            arrowSchema=table.schema.serialize().to_pybytes(),
        )

    # --- statements

    def _run(self, text: str) -> tuple[pa.Table, list[str]]:
        if self.denied and "FROM" in text and "information_schema" not in text:
            raise PermissionError("[INSUFFICIENT_PERMISSIONS] User does not have SELECT on Table 'dev.sales.t'.")
        if text.startswith("SET "):
            return pa.table({"key": ["x"], "value": ["y"]}), ["string", "string"]
        if text.startswith("DESCRIBE HISTORY "):
            name = _plain_name(text.split()[2])
            self._database.execute(f'CREATE OR REPLACE TABLE "{name}@v{self.version}" AS SELECT * FROM "{name}"')
            return pa.table({"version": pa.array([self.version], pa.int64())}), ["bigint"]
        for name, (columns, rows) in self.canned.items():
            if f"`{name}`" in text and "information_schema" not in text:
                return self._canned(text, columns, rows)
        if text.startswith("DESCRIBE QUERY "):
            found = self._database.execute(f"DESCRIBE {self._translated(text[15:])}").fetchall()
            natives = [_native(row[1]) for row in found]
            names = [row[0] for row in found]
            return pa.table({"col_name": names, "data_type": natives, "comment": [None] * len(names)}), ["string"] * 3
        found = self._database.sql(self._translated(text))
        natives = [_native(str(each)) for each in found.types]
        return _as_databricks(found.to_arrow_table()), natives

    @staticmethod
    def _canned(text: str, columns: list[tuple[str, str]], rows: pa.Table) -> tuple[pa.Table, list[str]]:
        if text.startswith("DESCRIBE QUERY "):
            given = {"col_name": [name for name, _ in columns], "data_type": [native for _, native in columns]}
            return pa.table({**given, "comment": [None] * len(columns)}), ["string"] * 3
        if text.startswith("SELECT COUNT"):
            return pa.table({"n": pa.array([rows.num_rows], pa.int64())}), ["bigint"]
        ones = pa.array([1] * rows.num_rows, pa.int32())
        nested = ("array", "map", "struct", "variant", "interval", "geo")
        natives = ["string" if native.startswith(nested) else native for _, native in columns]
        return pa.table([ones, *rows.columns], names=["one", *rows.column_names]), ["int", *natives]

    def _translated(self, text: str) -> str:
        text = re.sub(r"`([^`]+)` VERSION AS OF (\d+)", r"`\1@v\2`", text)
        tree = sqlglot.parse_one(text, read="databricks")
        own = {
            "current_catalog": "'dev'",
            "current_schema": "'sales'",
            "current_user": "'anna@example.com'",
            "unix_micros": "epoch_us(current_timestamp)",
        }

        def known(node: exp.Expression) -> exp.Expression:
            written = node.sql("databricks").lower()
            for name, value in own.items():
                if written.startswith(f"{name}("):
                    return sqlglot.parse_one(value, read="duckdb")
            if isinstance(node, exp.Table) and node.name == "tables" and node.db == "information_schema":
                listed = (
                    "(SELECT table_schema, table_name, CASE table_type WHEN 'VIEW' THEN 'VIEW' ELSE 'MANAGED' END "
                    "AS table_type, CASE table_type WHEN 'VIEW' THEN NULL ELSE 'DELTA' END AS data_source_format, "
                    "TABLE_COMMENT AS comment FROM information_schema.tables WHERE table_catalog = 'dev' "
                    "AND NOT contains(table_name, '@v'))"
                )
                return sqlglot.parse_one(f"SELECT * FROM {listed} AS listed", read="duckdb").find(exp.Subquery) or node
            return node

        if re.search(r"to_json\(`?\w+`?, map", text):
            text = re.sub(r"to_json\((`\w+`), map\('ignoreNullFields', 'false'\)\)", r"to_json(\1)", text)
            tree = sqlglot.parse_one(text, read="databricks")
        return tree.transform(known).sql("duckdb").replace("APPROX_QUANTILE(", "QUANTILE_DISC(")


@contextmanager
def double() -> Iterator[Double]:
    """A running one."""
    found = Double()
    try:
        yield found
    finally:
        found.close()


def _handle() -> Any:
    return ttypes.THandleIdentifier(guid=uuid.uuid4().bytes, secret=b"s" * 16)


def _described(native: str) -> Any:
    word = native.partition("(")[0]
    kind = getattr(ttypes.TTypeId, f"{_THRIFT.get(word, 'STRING')}_TYPE")
    qualifiers = None
    if word == "decimal":
        precision, scale = re.findall(r"\d+", native)
        values = {"precision": int(precision), "scale": int(scale)}
        qualifiers = ttypes.TTypeQualifiers(
            qualifiers={name: ttypes.TTypeQualifierValue(i32Value=value) for name, value in values.items()}
        )
    entry = ttypes.TPrimitiveTypeEntry(type=kind, typeQualifiers=qualifiers)
    return ttypes.TTypeDesc(types=[ttypes.TTypeEntry(primitiveEntry=entry)])


def _native(text: str) -> str:
    found = re.fullmatch(r"DECIMAL\((\d+),\s*(\d+)\)", text)
    if found:
        return f"decimal({found[1]},{found[2]})"
    if text.endswith("[]"):
        return f"array<{_native(text[:-2])}>"
    return "struct<>" if text.startswith("STRUCT") else _NATIVE.get(text, "string")


def _as_databricks(table: pa.Table) -> pa.Table:
    """As it sends them: integers of 128 bits as decimals, lists as JSON, no extension types."""
    for place, field in enumerate(table.schema):
        values = table.column(place)
        if pa.types.is_list(field.type):
            texts = pa.array([None if each is None else json.dumps(each, default=str) for each in values.to_pylist()])
            table = table.set_column(place, field.name, texts)
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            table = table.set_column(place, field.name, values.cast(pa.timestamp("us", "Etc/UTC")))
        elif isinstance(field.type, pa.BaseExtensionType):
            table = table.set_column(place, field.name, values.combine_chunks().storage)
    return table


def _plain_name(quoted: str) -> str:
    return quoted.rpartition(".")[2].strip("`")


def _message(batch: pa.RecordBatch) -> bytes:
    """The batch's own message of the stream, which follows the schema's."""
    found: bytes = batch.serialize().to_pybytes()
    return found


def _told(error: Exception) -> str:
    text = str(error).splitlines()[0]
    if "does not exist" in text and "Table" in text:
        return f"[TABLE_OR_VIEW_NOT_FOUND] The table or view cannot be found. {text} SQLSTATE: 42P01"
    if "not found in FROM" in text:
        return f"[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column cannot be resolved. {text} SQLSTATE: 42703"
    return text if text.startswith("[") else f"[PARSE_SYNTAX_ERROR] {text} SQLSTATE: 42601"
