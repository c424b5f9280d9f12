"""The connector `gcs`: objects in a bucket of Google Cloud Storage."""

from __future__ import annotations

import re
from typing import Any

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import Endpoint
from headrace.connectors.network.google_account import ServiceAccount
from headrace.connectors.specs.files import Gcs
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.connectors.stores.object_store.client import client_options, make_client, retry_config
from headrace.connectors.stores.object_store.connector import bucket_connector
from headrace.connectors.stores.remote import checked_path

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_OWN = "https://storage.googleapis.com"


def gcs_bucket(context: Context) -> Bucket:
    """The bucket of a connection. Raises SourceError."""
    config = Gcs.model_validate(dict(context.connection.config))
    if not _BUCKET.fullmatch(config.bucket):
        raise SourceError(
            "bad_option", f"config.bucket: '{config.bucket[:100]}' is not valid.", "Write it as Google does."
        )
    prefix = checked_path(config.prefix.strip("/")) if config.prefix else ""
    account = ServiceAccount.of(context.connection.credentials, context.surroundings.networks)
    account.token()  # raises the right error if the login is refused
    endpoint = Endpoint.of(config.endpoint or _OWN, context.surroundings.networks)
    from obstore.store import GCSStore

    options: Any = {"base_url": endpoint.url}
    place = f"gs://{config.bucket}/{prefix}".rstrip("/")
    client = make_client(
        place,
        lambda: GCSStore(
            config.bucket,
            prefix=prefix or None,
            skip_signature=False,
            credential_provider=account.token,
            client_options=client_options(endpoint.relay, plain=endpoint.plain),
            retry_config=retry_config(),
            **options,
        ),
    )
    return Bucket(client, place, endpoint.relay, (account.private_key,))


GCS_FILES = bucket_connector("gcs", "gcs", gcs_bucket, lambda config: f"gs://{config.get('bucket')}")
