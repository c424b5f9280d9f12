"""Operations on connectors: list, read, create, update, delete. Secrets are encrypted before they are stored."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headrace.api.connectors.schemas import DEFAULT_AUTH_METHOD, ConnectorItem, CreateConnector, UpdateConnector
from headrace.api.connectors.secrets import split_secrets
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, invalid, not_found
from headrace.api.pagination import PageOf, PageRequest, page_of
from headrace.catalog.models import Connector, new_id
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.security.credentials import CredentialsUnreadable, NoEncryptionKey
from headrace.connectors.http.definition.used import TYPE, use_problems
from headrace.connectors.http.shipped.documents import document_of, shipped_documents
from headrace.connectors.registry import connector_types
from headrace.connectors.webhook.connector import WEBHOOK
from headrace.flows.prefect.block_references import references
from headrace.ir.problems import Problem, nearest
from headrace.ir.secrets import connection_credentials, credential_problems
from headrace.ir.yaml_connectors import reference_in

_NOT_HERE = "name it {{secrets.…}} in the document, and give it in authConfig"


def list_connectors(context: RequestContext, request: PageRequest) -> PageOf[ConnectorItem]:
    """A page of the tenant's connectors, newest first."""
    with context.catalog() as catalog:
        page = catalog.connectors.page(limit=request.limit, after=request.after)
        return page_of(page, request, lambda connector: _shown(context, connector))


def get_connector(context: RequestContext, connector_id: str) -> ConnectorItem:
    """One connector. Raises ApiError 404."""
    with context.catalog() as catalog:
        return _shown(context, owned_connector(catalog, connector_id))


def create_connector(context: RequestContext, body: CreateConnector) -> ConnectorItem:
    """Stores a connector. Errors: 400 for a config that is not valid for its type, 409 for a taken name."""
    given = body.config | body.connection_config
    check_config(body.type, given, body.auth_config)
    check_auth_method(body.type, body.auth_method)
    config, secrets = split_secrets(given)
    connector_id = new_id("conn")
    with context.catalog() as catalog:
        check_document(catalog, body.type, given, secrets)
        connector = catalog.connectors.add(
            Connector(
                id=connector_id,
                name=body.name,
                type=body.type,
                description=body.description,
                config=config,
                auth_method=body.auth_method,
                auth_sealed=_seal(context, connector_id, secrets | body.auth_config),
                status="active",
            )
        )
        return _shown(context, connector)


def update_connector(context: RequestContext, body: UpdateConnector) -> ConnectorItem:
    """Updates the fields given in the body. Errors: 404, 400 for an invalid config, 409 for a taken name."""
    given = body.model_fields_set
    with context.catalog() as catalog:
        connector = owned_connector(catalog, body.id)
        if "type" in given and body.type != connector.type:
            raise invalid("type", "immutable", "The type of a connector cannot change", "create another connector")
        if "name" in given:
            connector.name = body.name
        if "description" in given:
            connector.description = body.description
        if given & {"config", "connection_config", "auth_config", "auth_method"}:
            _update_connection(context, catalog, connector, body)
        connector.updated_at = datetime.now(UTC)
        return _shown(context, catalog.connectors.save(connector))


def delete_connector(context: RequestContext, connector_id: str) -> None:
    """Deletes a connector. Errors: 404, 409 while a pipeline uses it."""
    with context.catalog() as catalog:
        catalog.connectors.remove(owned_connector(catalog, connector_id))


def owned_connector(catalog: TenantCatalog, connector_id: str) -> Connector:
    """The tenant's connector. Raises ApiError 404."""
    connector = catalog.connectors.get(connector_id)
    if connector is None:
        raise not_found("connector")
    return connector


def check_config(kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> None:
    """Raises ApiError 400 with all missing and invalid settings. Required settings may be in either object."""
    known = connector_types()[kind]
    needed = {name: credentials[name] for name in known.setting_names if name in credentials and name not in config}
    own = split_secrets(config)[1] | credentials
    problems = [
        *known.problems(needed | config),
        *credential_problems(own),
        *known.auth_problems(needed | config, connection_credentials(own)),
    ]
    if problems:
        raise ApiError(400, f"The config is not valid for a {kind} connector", details=problems)


def check_auth_method(kind: str, method: str) -> None:
    """Raises ApiError 400 for a method that the type does not have. The default of a body goes with every type."""
    known = connector_types()[kind].auth_methods
    if method not in (*known, DEFAULT_AUTH_METHOD):
        message = f"A {kind} connector has no authMethod '{method}'"
        raise invalid("authMethod", "unknown_auth_method", message, f"use one of {', '.join(known)}")


def check_document(catalog: TenantCatalog, kind: str, config: dict[str, Any], secrets: dict[str, Any]) -> None:
    """Raises ApiError 400 for a config that does not fit the connector document that it names; keeps the document until
    the transaction ends."""
    wanted = reference_in(config) if kind == TYPE else None
    if wanted is None:
        return
    catalog.yaml_connectors.hold(wanted.id)
    document = document_of(wanted, catalog.yaml_connectors.documents([str(wanted)]))
    if document is None:
        message = f"There is no connector document '{wanted}'"
        hint = nearest(wanted.id, (*catalog.yaml_connectors.names(), *shipped_documents()))
        raise invalid("config.document", "unknown_document", message, hint)
    problems = [
        Problem(f"config.{name}", "secret_in_variable", f"'{name}' looks like a secret, and is shown", _NOT_HERE)
        for name in ("document", "variables")
        if name in secrets
    ]
    problems += use_problems(config, document, auth=True)
    if problems:
        raise ApiError(400, f"The config does not fit the connector document '{wanted}'", details=problems)


def _shown(context: RequestContext, connector: Connector) -> ConnectorItem:
    item = ConnectorItem.model_validate(connector)
    if connector.type == WEBHOOK.name:
        item = item.model_copy(update={"hook_url": f"{context.services.settings.api_url}/hooks/{connector.id}"})
    if connector.auth_sealed is None:
        return item
    try:
        credentials = context.keyring.unseal(connector.auth_sealed, connector_id=connector.id)
    except CredentialsUnreadable:  # reported when they are needed; the rest can still be shown
        return item
    return item.model_copy(update={"auth_references": references(credentials)})


def resolve_blocks(context: RequestContext, credentials: dict[str, Any]) -> dict[str, Any]:
    """Credentials with references replaced by the values of Prefect blocks. Raises SourceError for a block that cannot
    be read, and OrchestratorAway."""
    if not references(credentials):
        return credentials
    allowed = context.services.settings.prefect_blocks.get(context.principal.tenant_id, ())
    return context.orchestrator.credentials(credentials, allowed)


def credentials_of(context: RequestContext, connector: Connector) -> dict[str, Any]:
    """The connector's decrypted credentials. Raises ApiError 422 when no configured key decrypts them."""
    try:
        return context.keyring.unseal(connector.auth_sealed, connector_id=connector.id)
    except CredentialsUnreadable as error:
        hint = "give the old key along with the new one in HEADRACE_ENCRYPTION_KEYS, or the credentials again"
        problem = Problem("authConfig", "unreadable", str(error), hint)
        raise ApiError(422, "The connector's credentials cannot be read", details=[problem]) from error


def _update_connection(
    context: RequestContext, catalog: TenantCatalog, connector: Connector, body: UpdateConnector
) -> None:
    """Applies a change of config or credentials. Secrets in the config become credentials. Credentials that are not
    given again are kept, unless the change could send them elsewhere: that raises ApiError 400."""
    given = body.model_fields_set
    if "auth_method" in given and body.auth_method != connector.auth_method:  # what an older release stored may stay
        check_auth_method(connector.type, body.auth_method)
    wanted = connector.config
    if given & {"config", "connection_config"}:
        wanted = (body.config or {}) | (body.connection_config or {})
    config, secrets = split_secrets(wanted)
    if given & {"config", "connection_config"}:
        check_document(catalog, connector.type, wanted, secrets)
    credentials = body.auth_config
    if "auth_config" in given:
        check_config(connector.type, wanted, credentials)
    else:
        credentials = credentials_of(context, connector)
        if connection_credentials(credentials) and (
            changed := _changed_destinations(connector, body, wanted, credentials)
        ):
            message = (
                f"The stored credentials are not kept when {', '.join(changed)} changes: it may send them elsewhere"
            )
            raise invalid("authConfig", "missing_field", message, "send authConfig again, or {} for none")
        check_config(connector.type, wanted, credentials)
    connector.config = config
    connector.auth_method = body.auth_method if "auth_method" in given else connector.auth_method
    connector.auth_sealed = _seal(context, connector.id, credentials | secrets)


def _changed_destinations(
    connector: Connector, body: UpdateConnector, wanted: dict[str, Any], credentials: dict[str, Any]
) -> list[str]:
    """The changed settings that decide where and how the stored credentials are sent."""
    known = connector_types()[connector.type]
    kept = {name: value for name, value in credentials.items() if name in known.setting_names}
    named = {name: value for name, value in credentials.items() if name in wanted}
    before, after = known.address(connector.config | kept | named), known.address(kept | wanted)
    changed = [f"config.{name}" for name in sorted(before | after) if before.get(name) != after.get(name)]
    if "auth_method" in body.model_fields_set and body.auth_method != connector.auth_method:
        changed.append("authMethod")
    return changed


def _seal(context: RequestContext, connector_id: str, credentials: dict[str, Any]) -> bytes | None:
    try:
        return context.keyring.seal(credentials, connector_id=connector_id)
    except NoEncryptionKey as error:
        hint = "start Headrace with HEADRACE_ENCRYPTION_KEYS (openssl rand -base64 32)"
        problem = Problem("authConfig", "no_encryption_key", str(error), hint)
        raise ApiError(422, "Credentials cannot be stored here", details=[problem]) from error
