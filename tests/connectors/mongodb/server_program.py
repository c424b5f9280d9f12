"""Runs in an environment of its own (`double.PACKAGES`): mongoeco's server, with what a test needs besides.

mongoeco understands MongoDB's commands, filters, pipelines and order of types. Added are: TLS, collections whose
documents are the very bytes that a test has given (mongoeco decodes what it stores, and so would lose keys that are
there twice and refuse what is not UTF-8), and failures on demand. A `find` in the database `control` steers it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from typing import Any

from bson.raw_bson import RawBSONDocument
from mongoeco.errors import OperationFailure
from mongoeco.wire import AsyncMongoEcoProxyServer
from mongoeco.wire.auth import WireAuthUser

given: dict[str, Any] = json.loads(sys.argv[1])
canned: dict[str, list[RawBSONDocument]] = {}
kinds: dict[str, str] = {}
"""What those are that are not collections: views, which mongoeco lists and leaves empty."""
cursors: dict[int, tuple[str, list[RawBSONDocument]]] = {}
seen: list[str] = []
fails: list[dict[str, Any]] = []
MOST_BYTES = 16 << 20


def steered(asked: dict[str, Any]) -> None:
    match asked["do"]:
        case "can":
            canned[asked["name"]] = [RawBSONDocument(bytes(each)) for each in asked["documents"]]
            kinds[asked["name"]] = asked["kind"]
        case "repeat":
            canned[asked["name"]] = [RawBSONDocument(bytes(each)) for each in asked["documents"]] * asked["times"]
        case "fail":
            fails.append(
                {"name": asked["name"], "after": asked["after"], "code": asked["code"], "times": asked["times"]}
            )
        case "clear":
            for each in (canned, kinds, cursors, seen, fails):
                each.clear()


def failing(name: str) -> None:
    for each in fails:
        if each["name"] == name and each["times"]:
            if each["after"]:
                each["after"] -= 1
                continue
            each["times"] -= 1
            raise OperationFailure("failure on demand", code=each["code"])


def batch(name: str, left: list[RawBSONDocument], size: int, what: str, number: int = 0) -> dict[str, Any]:
    taken, count = 0, 0
    for document in left[: size or 101]:
        taken += len(document.raw)
        if taken > MOST_BYTES and count:
            break
        count += 1
    rest = left[count:]
    if rest:
        number = number or max(cursors, default=1 << 30) + 1
        cursors[number] = (name, rest)
    else:
        cursors.pop(number, None)
        number = 0
    return {"cursor": {"id": number, "ns": f"shop.{name}", what: left[:count]}, "ok": 1.0}


def answered(context: Any) -> dict[str, Any] | None:
    body, command = context.raw_body, context.command_name
    if context.db_name == "control":
        steered(body["filter"])
        listed = [{"_id": place, "text": text} for place, text in enumerate(seen)]
        return {"cursor": {"id": 0, "ns": "control.control", "firstBatch": listed}, "ok": 1.0}
    if command in ("find", "getMore", "aggregate", "count"):
        seen.append(repr({name: value for name, value in body.items() if name not in ("lsid", "$db")}))
        failing(command)
    if command == "getMore":
        number = int(getattr(body["getMore"], "value", body["getMore"]))
        if number in cursors:
            name, left = cursors[number]
            return batch(name, left, body.get("batchSize", 0), "nextBatch", number)
        return None
    if command == "listCollections" and (name := body.get("filter", {}).get("name")) in canned:
        first = [{"name": name, "type": kinds.get(name, "collection")}]
        return {"cursor": {"id": 0, "ns": "shop.$cmd.listCollections", "firstBatch": first}, "ok": 1.0}
    name = body.get(command)
    if not isinstance(name, str) or name not in canned:
        return None
    if command == "find":
        limit = body.get("limit", 0)
        return batch(name, canned[name][: limit or None], body.get("batchSize", 0), "firstBatch")
    if command == "aggregate":
        return {"cursor": {"id": 0, "ns": f"shop.{name}", "firstBatch": canned[name][:200]}, "ok": 1.0}
    return {"n": len(canned[name]), "ok": 1.0} if command == "count" else None


async def main() -> None:
    users = tuple(WireAuthUser(**{**each, "mechanisms": tuple(each["mechanisms"])}) for each in given.get("users", ()))
    server = AsyncMongoEcoProxyServer(host="127.0.0.1", port=given["port"], auth_users=users)
    own = server._executor.execute_prepared

    async def execute(context: Any) -> dict[str, Any]:
        found = answered(context) if not users or context.connection.authenticated_users else None
        return found if found is not None else await own(context)

    server._executor.execute_prepared = execute
    if "tls" in given:
        speaking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        speaking.load_cert_chain(given["tls"]["certificate"], given["tls"]["key"])
        speaking.load_verify_locations(given["tls"]["authority"])
        speaking.verify_mode = ssl.CERT_OPTIONAL
        start = asyncio.start_server
        asyncio.start_server = lambda *args, **more: start(*args, **more, ssl=speaking)
    await server.start()
    await asyncio.Event().wait()


asyncio.run(main())
