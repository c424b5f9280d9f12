"""The connector `azure_blob`: blobs in a container of Azure Blob Storage."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import Endpoint
from headrace.connectors.specs.files import AzureBlob, AzureLogin
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.connectors.stores.object_store.client import client_options, make_client, retry_config
from headrace.connectors.stores.object_store.connector import bucket_connector
from headrace.connectors.stores.remote import checked_path

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"\$?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def azure_container(context: Context) -> Bucket:
    """The container of a connection. Raises SourceError."""
    config = AzureBlob.model_validate(dict(context.connection.config))
    for name, value, form in (
        ("storageAccount", config.storage_account, _ACCOUNT),
        ("container", config.container, _CONTAINER),
    ):
        if not form.fullmatch(value):
            raise SourceError("bad_option", f"config.{name}: '{value[:100]}' is not valid.", "Write it as Azure does.")
    prefix = checked_path(config.prefix.strip("/")) if config.prefix else ""
    login = _login(context)
    own = config.endpoint or f"https://{config.storage_account}.blob.core.windows.net"
    endpoint = Endpoint.of(own, context.surroundings.networks)
    from obstore.store import AzureStore

    def credentials() -> Any:
        return {**login, "expires_at": None}

    place = f"azure://{config.storage_account}/{config.container}/{prefix}".rstrip("/")
    client = make_client(
        place,
        lambda: AzureStore(
            config.container,
            prefix=prefix or None,
            account_name=config.storage_account,
            endpoint=endpoint.url,
            use_emulator=False,
            use_azure_cli=False,
            use_fabric_endpoint=False,
            skip_signature=False,
            credential_provider=credentials,
            client_options=client_options(endpoint.relay, plain=endpoint.plain),
            retry_config=retry_config(),
        ),
    )
    return Bucket(client, place, endpoint.relay, tuple(login.values()))


def _login(context: Context) -> dict[str, str]:
    given = {name: value for name, value in context.connection.credentials.items() if value}
    try:
        login = AzureLogin.model_validate(given)
    except ValidationError:
        login = AzureLogin()
    if login.account_key is not None:
        key = login.account_key.get_secret_value().strip()
        try:
            base64.b64decode(key, validate=True)
        except ValueError:
            raise SourceError("bad_credentials", "The account key is not Base64.", "Copy it again, whole.") from None
        return {"access_key": key}
    if login.sas_token is not None:
        return {"sas_token": login.sas_token.get_secret_value().strip().removeprefix("?")}
    raise SourceError(
        "bad_credentials", "The connector has no login.", "authConfig needs 'accountKey', or 'sasToken' for a SAS."
    )


def _namespace(config: Mapping[str, Any]) -> str:
    return f"wasbs://{config.get('container')}@{config.get('storageAccount')}.dfs.core.windows.net"


AZURE_BLOB = bucket_connector("azure_blob", "azure_blob", azure_container, _namespace)
