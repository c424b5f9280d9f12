"""Connects to a cluster or a workgroup like to a PostgreSQL, and opens the bucket that it unloads to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.connector import Connection, Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.redshift.temporary_login import TemporaryDoor, api_of
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Login, Redshift, RedshiftLogin
from headrace.connectors.sql.postgresql.login import Access

__all__ = ["Access", "access", "bucket_context", "place_of"]

_OURS = {"username", "password", "sslCert", "sslKey", "accessKeyId", "secretAccessKey", "sessionToken"}


def place_of(connection: Connection) -> Redshift:
    """The connection's config. Raises SourceError(`bad_option`)."""
    config = dict(connection.config)
    if found := problems_of(Redshift, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return Redshift.model_validate(config)


def access(context: Context) -> Access:
    """The login of a connection; does not connect. Raises SourceError(`bad_credentials`, `bad_option`)."""
    networks: tuple[Network, ...] = (*context.surroundings.networks,)
    place, given = place_of(context.connection), _given(context.connection.credentials)
    login = Login(username=given.username, password=given.password, ssl_cert=given.ssl_cert, ssl_key=given.ssl_key)
    if place.cluster_identifier is None or given.password.get_secret_value() or given.ssl_cert is not None:
        return Access(place, login, networks)
    if given.access_key_id is None or given.secret_access_key is None or place.region is None:
        raise SourceError(
            "bad_credentials",
            "The login is not complete.",
            "Give a 'password', or 'accessKeyId' and 'secretAccessKey' with 'region' in the config.",
        )
    api = api_of(place.region, place.api_endpoint)
    return TemporaryDoor(place, login, networks, given, place.cluster_identifier, place.region, api)


def bucket_context(context: Context, place: Redshift) -> Context:
    """A context of the connector `s3` for the UNLOAD folder, with the login's access key."""
    assert place.unload_to is not None
    bucket, _, prefix = place.unload_to.removeprefix("s3://").partition("/")
    config = {"bucket": bucket, "region": place.region, "prefix": prefix.strip("/"), "endpoint": place.s3_endpoint}
    given = context.connection.credentials
    key = {name: given[name] for name in ("accessKeyId", "secretAccessKey", "sessionToken") if given.get(name)}
    there = {name: value for name, value in config.items() if value}
    return Context(Connection(context.connection.id, "aws_s3", there, key), context.surroundings)


def _given(credentials: Mapping[str, Any]) -> RedshiftLogin:
    named = {"username" if name == "user" else name: value for name, value in credentials.items()}
    try:
        given = RedshiftLogin.model_validate(
            {name: value for name, value in named.items() if name in _OURS and value is not None}
        )
    except ValueError:
        raise SourceError(
            "bad_credentials", "The login is not complete.", "authConfig needs 'username' and 'password'."
        ) from None
    if (given.ssl_cert is None) != (given.ssl_key is None):
        raise SourceError(
            "bad_credentials", "The login is not complete.", "A client certificate is 'sslCert' with 'sslKey'."
        )
    return given
