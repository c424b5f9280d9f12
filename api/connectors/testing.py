"""Connection tests: what a run would dial is dialled, in time that is short, and nothing is changed there."""

from __future__ import annotations

import time
from typing import Any

from api.connectors.schemas import TestConnector, TestResult
from api.connectors.secrets import split_secrets
from api.connectors.service import check_config, credentials_of, in_the_clear, owned_connector
from api.context import RequestContext
from api.errors import ApiError
from connectors.base import SourceError
from connectors.probes import PROBES, Surroundings
from ir.problems import Problem


def try_connection(context: RequestContext, body: TestConnector) -> TestResult:
    """Tries a connection that is not stored; 400 for a config its type does not take."""
    given = body.config | body.connection_config
    check_config(body.type, given, body.auth_config)
    config, secrets = split_secrets(given)
    return _tried(context, body.type, config, secrets | body.auth_config)


def try_connector(context: RequestContext, connector_id: str) -> TestResult:
    """Tries a stored connection and keeps the outcome with it, or 404."""
    with context.catalog() as catalog:
        connector = owned_connector(catalog, connector_id)
    # no transaction stays open while somebody else's server takes its time
    result = _tried(context, connector.type, connector.config, credentials_of(context, connector))
    with context.catalog() as catalog:
        tested = owned_connector(catalog, connector_id)
        catalog.connectors.record_test(tested, None if result.ok else result.message)
        catalog.audit.append("test_connector", "connector", connector_id, tested.name, after={"ok": result.ok})
    return result


def _tried(context: RequestContext, kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> TestResult:
    if kind not in PROBES:
        problem = Problem("type", "not_testable", f"Connections of type {kind} cannot be tried yet")
        raise ApiError(422, problem.message, details=[problem])
    settings = context.services.settings
    surroundings = Surroundings(settings.files_root, settings.connector_networks)
    began = time.perf_counter()
    try:
        found = PROBES[kind](config, in_the_clear(context, credentials), surroundings)
        ok, message, sample = True, found.message, dict(found.sample)
    except SourceError as error:
        ok, message, sample = False, str(error), None
    context.services.metrics.tested(kind, ok=ok)
    return TestResult(ok=ok, latency_ms=round((time.perf_counter() - began) * 1000), message=message, sample=sample)
