"""Runs in an environment of its own (`double.PACKAGES`): bqemulator, with what Google's service has besides.

bqemulator understands BigQuery's SQL (on DuckDB), its REST API and its Storage Read API. Added are: tokens, which are
given to who signs with the account's key and are asked for by both APIs; streams that begin at an offset, that end on
demand, and of which small tables have several; sessions that expire; the limit of billed bytes; primary keys; Google's
own Arrow form where DuckDB's is another; and tables in that form which a test has made itself (`canned`). `/control`
makes it misbehave, `/info` says what it was asked."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import sys
import time
from typing import Any
from urllib.parse import parse_qs

import bqemulator.api.app as rest
import bqemulator.grpc_api.read_servicer as reading
import bqemulator.streaming.read_session as sessions
import grpc
import jwt
import pyarrow as pa
from bqemulator.config import Settings
from bqemulator.jobs.executor import JOB_RESULTS
from bqemulator.server import EmulatorServer
from bqemulator.storage import engine
from bqemulator.types.geography import wkb_to_wkt
from google.cloud.bigquery_storage_v1 import types
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

REST_PORT, GRPC_PORT = int(sys.argv[1]), int(sys.argv[2])
TOKEN = "ya29.a-token-of-the-double"
PROJECT, DATASET = "acme", "sales"

settings: dict[str, Any] = {
    "streams": 1,
    "responseRows": 65_536,
    "cutAfter": None,  # responses of each ReadRows, after which it fails
    "cuts": 0,  # so many times
    "cutStatus": "UNAVAILABLE",
    "failRest": 0,
    "failStatus": 503,
    "denied": None,  # part of a path or a method, with the answer 403
    "billedBytes": 0,  # what every query would bill
    "publicKey": None,
    "expired": False,
    "tokenSeconds": 3600,
}
canned: dict[str, tuple[dict[str, Any], pa.Table]] = {}
keys: dict[str, list[str]] = {}
seen: list[str] = []
asked: list[dict[str, Any]] = []
statements: list[str] = []
tokens: list[dict[str, Any]] = []


class Reading(reading.BigQueryReadHandler):
    """The Storage Read API."""

    def _handle_create_read_session(self, request_bytes: bytes, context: grpc.ServicerContext) -> bytes:
        self._let_in(context, "CreateReadSession")
        request = types.CreateReadSessionRequest.deserialize(request_bytes)
        session = request.read_session
        asked.append(
            {
                "table": session.table,
                "fields": list(session.read_options.selected_fields),
                "where": session.read_options.row_restriction,
                "streams": request.max_stream_count,
            }
        )
        answer = super()._handle_create_read_session(request_bytes, context)
        if answer:
            made = types.ReadSession.deserialize(answer)
            made.expire_time = {"seconds": int(time.time()) + 6 * 3600}
            made.estimated_row_count = sessions.get_session(made.name).table.num_rows
            answer = types.ReadSession.serialize(made)
        return answer

    def _handle_read_rows(self, request_bytes: bytes, context: grpc.ServicerContext) -> Any:
        self._let_in(context, "ReadRows")
        request = types.ReadRowsRequest.deserialize(request_bytes)
        name, offset = request.read_stream, request.offset
        asked.append({"stream": name.rpartition("/")[2], "offset": offset})
        data = sessions.get_stream_data(name.rpartition("/streams/")[0], name)
        if settings["expired"] or data is None:
            context.set_code(grpc.StatusCode.FAILED_PRECONDITION if data is not None else grpc.StatusCode.NOT_FOUND)
            context.set_details("there was an error operating on 'projects/p/sessions/s': session expired")
            return
        if offset > data.num_rows:
            context.set_code(grpc.StatusCode.OUT_OF_RANGE)
            context.set_details(f"Offset {offset} is beyond the end of the stream {data.num_rows}")
            return
        rows = data.slice(offset).combine_chunks()
        for sent, batch in enumerate(rows.to_batches(max_chunksize=int(settings["responseRows"]))):
            if settings["cuts"] and settings["cutAfter"] == sent:
                settings["cuts"] -= 1
                context.set_code(getattr(grpc.StatusCode, settings["cutStatus"]))
                context.set_details("the stream was cut")
                return
            packed = types.ArrowRecordBatch(serialized_record_batch=sessions.serialize_arrow_record_batch(batch))
            answer = types.ReadRowsResponse(row_count=batch.num_rows, arrow_record_batch=packed)
            if not sent:
                schema = sessions.get_session(name.rpartition("/streams/")[0]).arrow_schema_bytes
                answer.arrow_schema = types.ArrowSchema(serialized_schema=schema)
            yield types.ReadRowsResponse.serialize(answer)

    @staticmethod
    def _let_in(context: grpc.ServicerContext, method: str) -> None:
        given = dict(context.invocation_metadata())
        seen.append(f"grpc {method} {given.get('x-goog-request-params', '')}")
        if given.get("authorization") != f"Bearer {TOKEN}":
            raise reading.ValidationError("UNAUTHENTICATED: the request has no valid token")
        if settings["denied"] and settings["denied"] in method:
            from bqemulator.domain.errors import PermissionDeniedError

            raise PermissionDeniedError("request failed: the user does not have 'bigquery.readsessions.create'")


def made(
    project_id: str, table_ref: str, arrow_table: pa.Table, selected_fields: list[str] | None = None, **how: Any
) -> sessions.ReadSessionState:
    return create_read_session(project_id, table_ref, as_google(arrow_table), selected_fields=selected_fields, **how)


def as_google(table: pa.Table) -> pa.Table:
    """In the form that Google documents: text where DuckDB has its own binary form, and its metadata."""
    for place, field in enumerate(table.schema):
        metadata = field.metadata or {}
        if metadata.get(b"ARROW:extension:name") == b"geoarrow.wkb" or getattr(field.type, "extension_name", "") == (
            "geoarrow.wkb"
        ):
            values = table.column(place).to_pylist()
            texts = pa.array([None if each is None else wkb_to_wkt(each) for each in values], pa.string())
            named = {"ARROW:extension:name": "google:sqlType:geography"}
            table = table.set_column(place, pa.field(field.name, pa.string(), metadata=named), texts)
        elif pa.types.is_timestamp(field.type) and field.type.tz:
            moments = pa.timestamp("us", "UTC")
            table = table.set_column(place, pa.field(field.name, moments), table.column(place).cast(moments))
        elif metadata:
            table = table.set_column(place, field.remove_metadata(), table.column(place))
    return table


def layout(num_rows: int, table_bytes: int, max_streams: int) -> tuple[int, int]:
    count = min(max(max_streams, 1), int(settings["streams"]), max(num_rows, 1)) if num_rows else 0
    return count, -(-num_rows // count) if count else 0


def fetched(self: Any, sql: str, parameters: list[Any] | None = None) -> pa.Table:
    """A table's rows; those of queries and of canned tables are not in DuckDB."""
    found = re.search(r'FROM "?([^\s"]+)"?\."?([^\s"]+)"?(?:\."?([^\s"]+)"?)?', sql)
    whole = ".".join(part for part in found.groups() if part) if found else ""
    for name, (_, table) in canned.items():
        if whole.endswith(f".{name.rpartition('.')[2]}") and parameters is None:
            return chosen(sql, table)
    if (anonymous := re.search(r"\.anon(\w+)$", whole)) is not None:
        for job, table in JOB_RESULTS.items():
            if job.replace("-", "") == anonymous[1]:
                if " WHERE " in sql:
                    import duckdb

                    result = chosen(sql, table)
                    where = sql[sql.index(" WHERE ") :]
                    return duckdb.sql(f"SELECT * FROM result{where}").to_arrow_table().cast(result.schema)
                return chosen(sql, table)
    return fetch_arrow(self, sql, parameters)


def chosen(sql: str, table: pa.Table) -> pa.Table:
    listed = sql[len("SELECT ") : sql.index(" FROM ")]
    return table if listed.strip() == "*" else table.select(re.findall(r'"([^"]+)"', listed))


class Access:
    """Tokens, and what goes wrong, before the emulator's own REST API."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._own = Starlette(
            routes=[
                Route("/token", token, methods=["POST"]),
                Route("/control", control, methods=["POST"]),
                Route("/info", info),
            ]
        )
        self.state = inner.state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] in ("/token", "/control", "/info"):
            await (self._own if scope["type"] == "http" else self._inner)(scope, receive, send)
            return
        request = Request(scope, receive)
        seen.append(f"rest {request.method} {request.url.path}")
        body = await request.body()
        name = request.url.path.rpartition("/datasets/")[2].replace("/tables/", ".")
        answer = self._refusal(request, body)
        if answer is None and request.method == "GET" and name in canned:
            answer = JSONResponse(canned[name][0])
        if answer is not None:
            await answer(scope, receive, send)
            return

        async def again() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        held: list[Any] = []

        async def keep(message: Any) -> None:
            held.append(message)

        if request.method != "GET" or name not in keys:
            await self._inner(scope, again, send)
            return
        await self._inner(scope, again, keep)
        reported = json.loads(b"".join(each.get("body", b"") for each in held[1:]))
        reported["tableConstraints"] = {"primaryKey": {"columns": keys[name]}}
        await JSONResponse(reported)(scope, receive, send)

    @staticmethod
    def _refusal(request: Request, body: bytes) -> Response | None:
        path = request.url.path
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refused(401, "authError", "Invalid Credentials")
        if settings["failRest"]:
            settings["failRest"] -= 1
            return refused(settings["failStatus"], "backendError", "try again")
        if settings["denied"] and settings["denied"] in path:
            said = f"Access Denied: Project {PROJECT}: User does not have bigquery.jobs.create permission"
            return refused(403, "accessDenied", said)
        if f"/projects/{PROJECT}/" not in path:
            return refused(404, "notFound", "Not found: Project other")
        listed = re.search(r"/datasets/([^/]+)/tables$", path)
        if request.method == "GET" and listed and listed[1] != DATASET:
            return refused(404, "notFound", f"Not found: Dataset {PROJECT}:{listed[1]}")
        if path.endswith("/jobs") and request.method == "POST":
            asked_for = json.loads(body)["configuration"]
            query = asked_for["query"]
            most = query.get("maximumBytesBilled")
            if most and int(most) < int(settings["billedBytes"]):
                said = f"Query exceeded limit for bytes billed: {most}. {settings['billedBytes']} or higher required."
                return refused(400, "bytesBilledLimitExceeded", said)
            if not asked_for.get("dryRun"):
                statements.append(query["query"])
        return None


def refused(status: int, reason: str, message: str) -> Response:
    return JSONResponse(
        {"error": {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}}, status
    )


async def token(request: Request) -> Response:
    form = parse_qs((await request.body()).decode())
    try:
        claims = jwt.decode(
            form["assertion"][0], settings["publicKey"], algorithms=["RS256"], options={"verify_aud": False}
        )
    except jwt.PyJWTError:
        return JSONResponse({"error": "invalid_grant", "error_description": "Invalid JWT Signature."}, 400)
    tokens.append(claims)
    return JSONResponse({"access_token": TOKEN, "expires_in": settings["tokenSeconds"]})


async def control(request: Request) -> Response:
    """Settings; `keys` are primary keys by table, `canned` adds a table, `clear` forgets what was asked."""
    body = json.loads(await request.body())
    if body.pop("clear", False):
        for each in (canned, keys, seen, asked, statements, tokens, sessions._SESSIONS, JOB_RESULTS):
            each.clear()
    for name, columns in body.pop("keys", {}).items():
        keys[name] = columns
    for each in body.pop("canned", ()):
        canned[each["name"]] = (each["table"], pa.ipc.open_stream(base64.b64decode(each["rows"])).read_all())
    settings.update(body)
    return JSONResponse({"token": TOKEN})


async def info(request: Request) -> Response:
    del request
    return JSONResponse({"seen": seen, "asked": asked, "statements": statements, "tokens": tokens})


for each in vars(engine).values():
    if isinstance(each, type) and hasattr(each, "_load_spatial"):
        spatial = each._load_spatial

        def loaded(self: Any) -> None:
            """Downloads an extension, which is not at hand everywhere."""

        each._load_spatial = loaded
fetch_arrow, create_read_session, create_app = (
    engine.DuckDBEngine.fetch_arrow,
    reading.create_read_session,
    rest.create_app,
)
engine.DuckDBEngine.fetch_arrow = fetched
reading.create_read_session = made
reading.BigQueryReadHandler = Reading
sessions._compute_stream_layout = layout
import bqemulator.server  # noqa: E402

bqemulator.server.create_app = lambda context: Access(create_app(context))


async def main() -> None:
    how = Settings(
        rest_port=REST_PORT,
        grpc_port=GRPC_PORT,
        default_project_id=PROJECT,
        query_cache_ttl_seconds=0,
        log_level="error",
        metrics_enabled=False,
    )
    server = EmulatorServer(how)
    await server.start()
    await asyncio.Event().wait()
    del server  # it is kept until here


if __name__ == "__main__":
    asyncio.run(main())
