"""A connector's connection as child processes get it, and the errors of what they find, without credentials."""

from __future__ import annotations

from typing import Any

from headrace.api.connectors.service import credentials_of, owned_connector, resolve_blocks
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.catalog.hooks.reading import SpoolReader
from headrace.connectors.connector import Connection, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.http.definition.used import wanted_document, with_endpoints
from headrace.connectors.registry import of_type
from headrace.connectors.webhook.connector import WEBHOOK
from headrace.flows.tenant_files import files_of
from headrace.ir.problems import Problem
from headrace.ir.redaction import redact, secret_texts
from headrace.ir.secrets import connection_credentials


def surroundings_of(context: RequestContext, connection: Connection) -> Surroundings:
    """The networks and folders that one of the tenant's connections may access."""
    settings = context.services.settings
    files_root = files_of(settings, context.principal.tenant_id)
    spool = None
    if connection.type == WEBHOOK.name:
        spool = SpoolReader(settings.for_runs, context.principal.tenant_id, connection.id)
    return Surroundings(files_root, settings.connector_networks, settings.connector_role_buckets, spool=spool)


def stored_connection(context: RequestContext, connector_id: str) -> Connection:
    """A stored connector's connection with all its credentials, which may be references. Raises ApiError 404."""
    with context.catalog() as catalog:
        connector = owned_connector(catalog, connector_id)
    return Connection(connector.id, connector.type, connector.config, credentials_of(context, connector))


def opened_connection(context: RequestContext, connection: Connection) -> tuple[Connection, list[str]]:
    """The connection with the credentials that connecting is for and the endpoints of its document, and the texts that
    no answer may have. Raises SourceError for a Prefect block that cannot be read, or a document that does not fit."""
    opened = resolve_blocks(context, dict(connection.credentials))
    kept: dict[str, Any] = connection_credentials(opened)
    config = connection.config
    if (wanted := wanted_document("", connection.type, config)) is not None:
        with context.reading() as catalog:
            config = with_endpoints(config, wanted, catalog.yaml_connectors.documents([str(wanted)]))
    return Connection(connection.id, connection.type, config, kept), list(secret_texts(opened))


def refuse_unreadable(connection: Connection) -> None:
    """Raises ApiError 422 for a type that nothing can connect to yet."""
    if of_type(connection.type) is None:
        problem = Problem("type", "not_testable", f"Connections of type {connection.type} cannot be tested yet")
        raise ApiError(422, problem.message, details=[problem])


def source_error(error: SourceError, secrets: list[str]) -> ApiError:
    """The response for what a connector could not find: 404 for a name, else 422."""
    problem = Problem("connector", error.code, redact(error.message, secrets), redact(error.hint, secrets))
    return ApiError(404 if error.code == "unknown_stream" else 422, problem.message, details=[problem])
