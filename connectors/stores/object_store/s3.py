"""The connector `s3`: objects in a bucket of Amazon S3, or of a server with its API."""

from __future__ import annotations

import re
from typing import Any

from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress_proxy import Endpoint
from headrace.connectors.specs.files import S3, AccessKey
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.connectors.stores.object_store.client import client_options, make_client, retry_config
from headrace.connectors.stores.object_store.connector import bucket_connector
from headrace.connectors.stores.remote import checked_path

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{1,40}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_ROLE_ENDPOINTS = "169.254.169.254,169.254.170.2,169.254.170.23,fd00:ec2::254,fd00:ec2::23,sts.amazonaws.com"
"""Hosts from which AWS clients get the role of a machine, besides its environment."""


def aws_endpoint(bucket: str, region: str) -> tuple[str, bool]:
    """The URL of Amazon's own server, and whether it contains the bucket's name."""
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in bucket:  # no certificate covers such a host
        return f"https://s3.{region}.{domain}", False
    return f"https://{bucket}.s3.{region}.{domain}", True


def s3_bucket(context: Context) -> Bucket:
    """The bucket of a connection. Raises SourceError."""
    config = S3.model_validate(dict(context.connection.config))
    for name, value, form in (("region", config.region, _REGION), ("bucket", config.bucket, _BUCKET)):
        if not form.fullmatch(value):
            raise SourceError("bad_option", f"config.{name}: '{value[:100]}' is not a {name}.", "Write it as AWS does.")
    prefix = checked_path(config.prefix.strip("/")) if config.prefix else ""
    own, hosted = (config.endpoint, False) if config.endpoint else aws_endpoint(config.bucket, config.region)
    login, secrets = _login(context, config)
    endpoint = Endpoint.of(own, context.surroundings.networks)
    from obstore.store import S3Store

    place = f"s3://{config.bucket}/{prefix}".rstrip("/")
    client = make_client(
        place,
        lambda: S3Store(
            config.bucket,
            prefix=prefix or None,
            endpoint=endpoint.url,
            region=config.region,
            virtual_hosted_style_request=hosted,
            skip_signature=False,
            unsigned_payload=False,
            s3_express=False,
            request_payer=False,
            copy_if_not_exists="multipart",
            conditional_put="etag",
            client_options=client_options(
                endpoint.relay, plain=endpoint.plain, excludes="" if secrets else _ROLE_ENDPOINTS
            ),
            retry_config=retry_config(),
            **login,
        ),
    )
    return Bucket(client, place, endpoint.relay, secrets)


def _login(context: Context, config: S3) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The client's credential options, and the secrets in them."""
    given = {name: value for name, value in context.connection.credentials.items() if value}
    if not given:
        return _role(context, config), ()
    try:
        key = AccessKey.model_validate(given)
    except ValidationError:
        raise SourceError(
            "bad_credentials",
            "The access key is not complete.",
            "authConfig needs 'accessKeyId' and 'secretAccessKey', and 'sessionToken' for one that expires.",
        ) from None
    secret = key.secret_access_key.get_secret_value()
    token = key.session_token.get_secret_value() if key.session_token else None

    def credentials() -> dict[str, Any]:
        return {"access_key_id": key.access_key_id, "secret_access_key": secret, "token": token, "expires_at": None}

    return {"credential_provider": credentials}, tuple(each for each in (secret, token) if each)


def _role(context: Context, config: S3) -> dict[str, Any]:
    """Options for the machine's own role: only for buckets that the operator allows, and only for Amazon."""
    if config.bucket not in context.surroundings.role_buckets:
        raise SourceError(
            "bad_credentials",
            f"The connector has no access key, and the server's role may not be used for the bucket '{config.bucket}'.",
            "Give 'accessKeyId' and 'secretAccessKey', or ask the operator to allow it: "
            f'HEADRACE_CONNECTOR_ROLE_BUCKETS=["{config.bucket}"].',
        )
    if config.endpoint:
        raise SourceError(
            "bad_option",
            "config.endpoint: the server's own role is for Amazon S3 alone.",
            "Take the endpoint out, or give an access key.",
        )
    return {}


S3_FILES = bucket_connector("s3", "aws_s3", s3_bucket, lambda config: f"s3://{config.get('bucket')}")
