"""What connectors can do: be listed, found, made, changed and removed; their secrets are sealed on the way in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from api.connectors.schemas import ConnectorItem, CreateConnector, UpdateConnector
from api.connectors.secrets import split_secrets
from api.context import RequestContext
from api.errors import ApiError, invalid, not_found
from api.pagination import PageOf, PageRequest, page_of
from catalog.credentials import CredentialsUnreadable, NoEncryptionKey
from catalog.models import Connector, new_id
from catalog.repositories import TenantCatalog
from connectors.catalogue import CONNECTOR_TYPES
from flows.block_references import references
from ir.problems import Problem


def list_connectors(context: RequestContext, request: PageRequest) -> PageOf[ConnectorItem]:
    """A page of the tenant's connectors, newest first."""
    with context.catalog() as catalog:
        page = catalog.connectors.page(limit=request.limit, after=request.after)
        return page_of(page, request, lambda connector: _shown(context, connector))


def get_connector(context: RequestContext, connector_id: str) -> ConnectorItem:
    """One connector, or 404."""
    with context.catalog() as catalog:
        return _shown(context, owned_connector(catalog, connector_id))


def create_connector(context: RequestContext, body: CreateConnector) -> ConnectorItem:
    """Stores a connector; 400 for a config its type does not take, 409 when its name is taken."""
    given = body.config | body.connection_config
    check_config(body.type, given, body.auth_config)
    config, secrets = split_secrets(given)
    connector_id = new_id("conn")
    with context.catalog() as catalog:
        connector = catalog.connectors.add(
            Connector(
                id=connector_id,
                name=body.name,
                type=body.type,
                description=body.description,
                config=config,
                auth_method=body.auth_method,
                auth_sealed=_sealed(context, connector_id, secrets | body.auth_config),
                status="active",
            )
        )
        return _shown(context, connector)


def update_connector(context: RequestContext, body: UpdateConnector) -> ConnectorItem:
    """Changes what the body names; 404, 400 for a config the type does not take, 409 when the new name is taken."""
    given = body.model_fields_set
    with context.catalog() as catalog:
        connector = owned_connector(catalog, body.id)
        if "type" in given and body.type != connector.type:
            raise invalid("type", "immutable", "The type of a connector cannot change", "create another connector")
        if "name" in given:
            connector.name = body.name
        if "description" in given:
            connector.description = body.description
        if "auth_method" in given:
            connector.auth_method = body.auth_method
        if given & {"config", "connection_config", "auth_config"}:
            _reconnect(context, connector, body)
        connector.updated_at = datetime.now(UTC)
        return _shown(context, catalog.connectors.save(connector))


def delete_connector(context: RequestContext, connector_id: str) -> None:
    """Removes a connector; 404, or 409 while a pipeline uses it."""
    with context.catalog() as catalog:
        catalog.connectors.remove(owned_connector(catalog, connector_id))


def owned_connector(catalog: TenantCatalog, connector_id: str) -> Connector:
    """The tenant's connector; raises the 404 of one that does not exist."""
    connector = catalog.connectors.get(connector_id)
    if connector is None:
        raise not_found("connector")
    return connector


def check_config(kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> None:
    """Raises the 400 with everything the type lacks or does not take. What a type needs may stand in either object."""
    known = CONNECTOR_TYPES[kind]
    needed = {name: credentials[name] for name in known.setting_names if name in credentials and name not in config}
    if problems := known.problems(needed | config):
        raise ApiError(400, f"The config is not one of a {kind} connector", details=problems)


def _shown(context: RequestContext, connector: Connector) -> ConnectorItem:
    item = ConnectorItem.model_validate(connector)
    if connector.auth_sealed is None:
        return item
    try:
        credentials = context.keyring.unseal(connector.auth_sealed, connector_id=connector.id)
    except CredentialsUnreadable:  # said when they are needed; the rest can be shown all the same
        return item
    return item.model_copy(update={"auth_references": references(credentials)})


def in_the_clear(context: RequestContext, credentials: dict[str, Any]) -> dict[str, Any]:
    """Credentials with the values of Prefect's blocks. Raises SourceError for a block that cannot be read, and what the
    orchestrator raises when Prefect is away."""
    if not references(credentials):
        return credentials
    allowed = context.services.settings.prefect_blocks.get(context.principal.tenant_id, ())
    return context.orchestrator.credentials(credentials, allowed)


def credentials_of(context: RequestContext, connector: Connector) -> dict[str, Any]:
    """The connector's credentials in the clear. Raises 422 when they do not open with the keys at hand."""
    try:
        return context.keyring.unseal(connector.auth_sealed, connector_id=connector.id)
    except CredentialsUnreadable as error:
        hint = "give the old key along with the new one in HEADRACE_ENCRYPTION_KEYS, or the credentials again"
        problem = Problem("authConfig", "unreadable", str(error), hint)
        raise ApiError(422, "The connector's credentials cannot be read", details=[problem]) from error


def _reconnect(context: RequestContext, connector: Connector, body: UpdateConnector) -> None:
    """Puts new config and credentials together: secrets in a config join the credentials, and credentials that are not
    given again stay, unless they would be sent elsewhere."""
    given = body.model_fields_set
    wanted = connector.config
    if given & {"config", "connection_config"}:
        wanted = (body.config or {}) | (body.connection_config or {})
    config, secrets = split_secrets(wanted)
    credentials = body.auth_config
    if "auth_config" not in given:
        credentials = credentials_of(context, connector)
        address = CONNECTOR_TYPES[connector.type].address
        if credentials and not address(wanted).items() <= address(connector.config | credentials).items():
            hint = "send the credentials again, or {} for none"
            raise invalid("authConfig", "missing_field", "The change sends the stored credentials elsewhere", hint)
    check_config(connector.type, wanted, credentials | secrets)
    connector.config = config
    connector.auth_sealed = _sealed(context, connector.id, credentials | secrets)


def _sealed(context: RequestContext, connector_id: str, credentials: dict[str, Any]) -> bytes | None:
    try:
        return context.keyring.seal(credentials, connector_id=connector_id)
    except NoEncryptionKey as error:
        hint = "start Headrace with HEADRACE_ENCRYPTION_KEYS (openssl rand -base64 32)"
        problem = Problem("authConfig", "no_encryption_key", str(error), hint)
        raise ApiError(422, "Credentials cannot be stored here", details=[problem]) from error
