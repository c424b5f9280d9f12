"""Connection tests: connect as a run would, with a short time-out, without changing anything.

They run in a child process (`api.subprocesses`), so that a server that does not respond, or never stops sending, blocks
nothing else.
"""

from __future__ import annotations

import json
import time

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.connectors.connections import opened_connection, refuse_unreadable, stored_connection, surroundings_of
from headrace.api.connectors.schemas import TestConnector, TestResult
from headrace.api.connectors.secrets import split_secrets
from headrace.api.connectors.service import check_auth_method, check_config, owned_connector
from headrace.api.context import RequestContext
from headrace.api.subprocesses import jobs
from headrace.connectors.connector import Connection
from headrace.connectors.errors import SourceError
from headrace.ir.redaction import redact

_GRACE_S = 3.0
"""Extra time for the child to report the time-out itself."""


async def try_connection(context: RequestContext, request: Request, body: TestConnector) -> TestResult:
    """Tests a connection that is not stored. Raises ApiError 400 for a config or `authMethod` that is not valid for
    its type."""
    given = body.config | body.connection_config
    check_config(body.type, given, body.auth_config)
    check_auth_method(body.type, body.auth_method)
    config, secrets = split_secrets(given)
    return await _test(context, request, Connection("", body.type, config, secrets | body.auth_config))


async def try_connector(context: RequestContext, request: Request, connector_id: str) -> TestResult:
    """Tests a stored connection and stores the result with it. Raises ApiError 404."""
    # no transaction is open while the other server responds
    result = await _test(context, request, await run_in_threadpool(stored_connection, context, connector_id))

    def keep() -> None:
        with context.catalog() as catalog:
            tested = owned_connector(catalog, connector_id)
            catalog.connectors.record_test(tested, None if result.ok else result.message)
            catalog.audit.append("test_connector", "connector", connector_id, tested.name, after={"ok": result.ok})

    await run_in_threadpool(keep)
    return result


async def _test(context: RequestContext, request: Request, connection: Connection) -> TestResult:
    refuse_unreadable(connection)
    services = context.services
    seconds = services.settings.connector_test_timeout_s
    began = time.perf_counter()
    secrets: list[str] = []
    try:
        opened, secrets = await run_in_threadpool(opened_connection, context, connection)
        found = await services.subprocesses.run(
            request,
            context.principal.tenant_id,
            "connection test",
            seconds + _GRACE_S,
            jobs.try_connection,
            *(opened, surroundings_of(context, opened), seconds),
        )
        result = TestResult(ok=True, **json.loads(found))
    except SourceError as error:
        message = redact(str(error), secrets)
        result = TestResult(ok=False, latency_ms=round((time.perf_counter() - began) * 1000), message=message)
    services.metrics.tested(connection.type, ok=result.ok)
    return result
