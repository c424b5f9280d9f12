"""Runs in an environment of its own (`double.PACKAGES`): fakesnow's server, with what the driver 5.x asks for besides.

fakesnow understands Snowflake's SQL (on DuckDB). Added are: logins that are looked at, a master token, results that are
kept and asked for again by the id of their query, pieces of results at URLs that expire, numbers in the least
width as Snowflake sends them, and results in Snowflake's own Arrow form that a test has made itself (`canned`).
`/control` makes it misbehave, `/info` says what it was asked.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import sys
import uuid
from typing import Any

import fakesnow.server as fakesnow
import jwt
import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PORT = int(sys.argv[1])
ACCOUNT, WAREHOUSE, DATABASE, ROLES = "acc", "COMPUTE_WH", "ANALYTICS", ("PUBLIC", "LOADER")

settings: dict[str, Any] = {
    "chunkRows": 20_000,
    "chunkHost": "127.0.0.1",
    "failChunks": 0,
    "failStatus": 500,
    "cutChunks": 0,
    "failQueries": 0,
    "publicKey": None,
}
results: dict[str, tuple[dict[str, Any], list[tuple[int, bytes]]]] = {}
canned: list[tuple[str, list[dict[str, Any]], list[bytes]]] = []
seen: list[str] = []
logins: list[dict[str, Any]] = []
statements: list[str] = []
oldest_url = newest_url = 0


def body_of(request: Request, raw: bytes) -> dict[str, Any]:
    text = gzip.decompress(raw) if request.headers.get("Content-Encoding") == "gzip" else raw
    found: dict[str, Any] = json.loads(text or b"{}")
    return found


def refused(code: str, message: str) -> JSONResponse:
    return JSONResponse({"data": {"errorCode": code}, "code": code, "message": message, "success": False})


def login_problem(data: dict[str, Any], asked: Any) -> tuple[str, str] | None:
    way, user = str(data.get("AUTHENTICATOR", "SNOWFLAKE")).upper(), str(data.get("LOGIN_NAME", "")).upper()
    if way == "SNOWFLAKE_JWT":
        try:
            claims = jwt.decode(data["TOKEN"], settings["publicKey"], algorithms=["RS256"])
        except (jwt.PyJWTError, ValueError, TypeError):
            return "390144", "JWT token is invalid. [a1b2]"
        if claims["sub"] != f"{ACCOUNT}.{user}".upper():
            return "390144", "JWT token is invalid. [c3d4]"
    elif way == "OAUTH":
        if data.get("TOKEN") != "oauth-good":
            return "390303", "Invalid OAuth access token. [e5f6]"
    elif way == "PROGRAMMATIC_ACCESS_TOKEN":
        if data.get("TOKEN") != "pat-good":
            return "394400", "Programmatic access token is invalid."
    elif (user, data.get("PASSWORD")) != ("ANNA", "hunter2"):
        return "390100", "Incorrect username or password was specified."
    role = asked.get("roleName") or "PUBLIC"
    if role.upper() not in ROLES:
        return "390189", f"Role '{role}' specified in the connect string does not exist or not authorized."
    return None


async def login(request: Request) -> Response:
    data = body_of(request, await request.body())["data"]
    asked = request.query_params
    logins.append(
        {"way": data.get("AUTHENTICATOR"), "user": data.get("LOGIN_NAME"), "session": data.get("SESSION_PARAMETERS")}
    )
    if str(data.get("ACCOUNT_NAME", "")).lower() != ACCOUNT:
        return Response("Forbidden", status_code=403)
    if (problem := login_problem(data, asked)) is not None:
        return refused(*problem)
    found = json.loads((await fakesnow.login_request(request)).body)
    found["data"] |= {
        "masterToken": "m-" + found["data"]["token"],
        "sessionId": 1,
        "validityInSeconds": 3600,
        "masterValidityInSeconds": 14400,
        "displayUserName": "ANNA",
        "idToken": None,
    }
    warehouse = asked.get("warehouse", "").upper()
    found["data"]["sessionInfo"] |= {
        "warehouseName": warehouse if warehouse == WAREHOUSE else None,
        "roleName": asked.get("roleName") or "PUBLIC",
    }
    fakesnow.sessions[found["data"]["token"]].where = {
        "CURRENT_WAREHOUSE()": warehouse if warehouse == WAREHOUSE else None,
        "CURRENT_ROLE()": (asked.get("roleName") or "PUBLIC").upper(),
        "CURRENT_DATABASE()": DATABASE if asked.get("databaseName", "").upper() == DATABASE else None,
    }
    return JSONResponse(found)


def least_width(table: pa.Table) -> pa.Table:
    """As Snowflake sends a NUMBER: its digits in the narrowest integer that holds all of them, else a decimal128."""
    for place, field in enumerate(table.schema):
        if not pa.types.is_decimal(field.type):
            continue
        digits = [None if v is None else int(v.scaleb(field.type.scale)) for v in table.column(place).to_pylist()]
        most = max((abs(each) for each in digits if each is not None), default=0)
        for bits, kind in ((7, pa.int8()), (15, pa.int16()), (31, pa.int32()), (63, pa.int64())):
            if most < 2**bits:
                table = table.set_column(place, field.with_type(kind), pa.array(digits, kind))
                break
    return table


def null_moments(table: pa.Table) -> pa.Table:
    """As Snowflake sends a timestamp that is null: the struct is. fakesnow has nulls in the struct's fields, which it
    describes as never null; the driver refuses that."""
    for place, field in enumerate(table.schema):
        if pa.types.is_struct(field.type):
            structs = table.column(place).combine_chunks()
            children = [structs.field(number) for number in range(field.type.num_fields)]
            masked = pa.StructArray.from_arrays(children, fields=list(field.type), mask=children[0].is_null())
            table = table.set_column(place, field, masked)
    return table


def stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=7_000)
    return sink.getvalue()


def rows_of(piece: bytes) -> int:
    return sum(batch.num_rows for batch in pa.ipc.open_stream(piece)) if piece else 0


def answer(query_id: str) -> JSONResponse:
    """A result with fresh addresses."""
    global newest_url  # noqa: PLW0603
    newest_url += 1
    shown, pieces = results[query_id]
    data = dict(shown["data"])
    data["rowsetBase64"] = base64.b64encode(pieces[0][1]).decode() if pieces else ""
    data["total"] = sum(rows for rows, _ in pieces)
    data["returned"] = pieces[0][0] if pieces else 0
    if len(pieces) > 1:
        data["chunks"] = [
            {
                "url": f"http://{settings['chunkHost']}:{PORT}/chunk/{query_id}/{place}/{newest_url}",
                "rowCount": rows,
                "uncompressedSize": len(piece),
                "compressedSize": len(piece),
            }
            for place, (rows, piece) in enumerate(pieces)
            if place
        ]
        data["chunkHeaders"] = {"x-amz-server-side-encryption-customer-key": "none"}
    return JSONResponse({**shown, "data": data})


def with_session(text: str, request: Request) -> str:
    """With what fakesnow does not know of its sessions."""
    known = getattr(fakesnow.to_conn(fakesnow.to_token(request)), "where", {})
    for call, value in known.items():
        text = text.replace(call, "NULL" if value is None else f"'{value}'")
    return text


async def query(request: Request) -> Response:
    raw = await request.body()
    body = body_of(request, raw)
    text = body["sqlText"]
    if settings["failQueries"]:
        settings["failQueries"] -= 1
        return refused("390112", "Your session has expired. Please login again.")
    for match, rowtype, pieces in canned:
        if match in text:
            query_id = str(uuid.uuid4())
            data = {
                "parameters": [{"name": "TIMEZONE", "value": "America/Los_Angeles"}],
                "rowtype": rowtype,
                "total": 0,
                "returned": 0,
                "queryId": query_id,
                "statementTypeId": 4096,
                "queryResultFormat": "arrow",
                "rowsetBase64": "",
            }
            if body.get("describeOnly"):
                return JSONResponse({"data": data, "success": True})
            statements.append(text)
            results[query_id] = ({"data": data, "success": True}, [(rows_of(each), each) for each in pieces])
            return answer(query_id)
    body["sqlText"] = with_session(text, request)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}

    scope = dict(request.scope)
    scope["headers"] = [each for each in scope["headers"] if each[0] not in (b"content-encoding", b"content-length")]
    given = await fakesnow.query_request(Request(scope, receive))
    found = json.loads(given.body)
    data = found.get("data") or {}
    if not body.get("describeOnly"):
        statements.append(text)
    if not data.get("rowsetBase64") or body.get("describeOnly"):
        return JSONResponse(found, status_code=given.status_code)
    table = null_moments(least_width(pa.ipc.open_stream(base64.b64decode(data["rowsetBase64"])).read_all()))
    size = int(settings["chunkRows"])
    pieces = [table.slice(start, size) for start in range(0, table.num_rows, size)]
    results[data["queryId"]] = (found, [(each.num_rows, stream(each)) for each in pieces])
    return answer(data["queryId"])


async def result(request: Request) -> Response:
    query_id = request.path_params["query"]
    if query_id not in results:
        return refused("000709", f"Statement {query_id} not found")
    return answer(query_id)


async def chunk(request: Request) -> Response:
    query_id, place, url = (request.path_params[name] for name in ("query", "place", "url"))
    if int(url) < oldest_url:
        return Response("<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>", 403)
    if settings["failChunks"]:
        settings["failChunks"] -= 1
        return Response("no", status_code=int(settings["failStatus"]))
    piece = results[query_id][1][int(place)][1]
    if settings["cutChunks"]:
        settings["cutChunks"] -= 1
        piece = piece[: len(piece) // 2]
    packed = gzip.compress(piece, 1)
    return Response(packed, headers={"Content-Encoding": "gzip"}, media_type="application/octet-stream")


async def control(request: Request) -> Response:
    """Settings; `expire` forgets results, `stale` makes the addresses given so far expire, `logout` ends sessions,
    `sql` runs statements, `canned` adds a result, `clear` begins afresh."""
    global oldest_url  # noqa: PLW0603
    body = json.loads(await request.body())
    if body.pop("clear", False):
        canned.clear()
        seen.clear()
        logins.clear()
        statements.clear()
        cursor = fakesnow.shared_fs.connect(DATABASE, "PUBLIC").cursor()
        cursor.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'PUBLIC'")
        for name, kind in cursor.fetchall():
            cursor.execute(f"""DROP {"VIEW" if kind == "VIEW" else "TABLE"} "{name.replace('"', '""')}" """)
    if body.pop("expire", False):
        results.clear()
    if body.pop("stale", False):
        oldest_url = newest_url + 1
    if body.pop("logout", False):
        fakesnow.sessions.clear()
    for each in body.pop("canned", ()):
        canned.append((each["match"], each["rowtype"], [base64.b64decode(piece) for piece in each["pieces"]]))
    reported: list[Any] = []
    for text in body.pop("sql", ()):
        connection = fakesnow.shared_fs.connect(DATABASE, "PUBLIC")
        try:
            reported.append(str(connection.cursor().execute(text).fetchall()))
        except Exception as error:  # noqa: BLE001
            return JSONResponse(f"{text}: {error}", status_code=400)
    settings.update(body)
    return JSONResponse(reported)


async def info(request: Request) -> Response:
    del request
    return JSONResponse({"seen": seen, "logins": logins, "statements": statements})


class Watched:
    """Notes every request but the tests' own."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] not in ("/control", "/info"):
            host = dict(scope["headers"]).get(b"host", b"").decode()
            seen.append(f"{scope['client'][0]} {host} {scope['path']}")
        await self._app(scope, receive, send)


app = Watched(
    Starlette(
        routes=[
            Route("/session/v1/login-request", login, methods=["POST"]),
            Route("/queries/v1/query-request", query, methods=["POST"]),
            Route("/queries/{query}/result", result),
            Route("/chunk/{query}/{place}/{url}", chunk),
            Route("/control", control, methods=["POST"]),
            Route("/info", info),
            *fakesnow.routes,
        ]
    )
)
if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning")
