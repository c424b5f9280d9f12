"""The address of an account and its credentials: a password, a key pair, an OAuth token or a programmatic access
token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Snowflake, SnowflakeLogin

_KNOWN = {"username", "password", "privateKey", "privateKeyPassphrase", "accessToken", "token"}
_SUFFIX = ".snowflakecomputing."


@dataclass(frozen=True, slots=True)
class Access:
    """An account and its credentials. Its `repr` contains no secret."""

    place: Snowflake
    host: str
    port: int
    plain: bool
    """Whether TLS is off, which is allowed only within the operator's networks."""
    networks: tuple[Network, ...]
    secrets: Mapping[str, str] = field(repr=False)
    """The driver's own parameters of the login."""


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`, `bad_url`)."""
    config = dict(context.connection.config)
    if found := problems_of(Snowflake, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    place = Snowflake.model_validate(config)
    address = WebAddress.of(place.url or f"https://{host_of(place.account)}")
    return Access(
        place,
        address.host,
        address.port,
        address.url.scheme == "http",
        (*context.surroundings.networks,),
        _secrets(context.connection.credentials),
    )


def host_of(account: str) -> str:
    """An account's own host. An underscore of an identifier is a dash in it."""
    bare = account.lower().partition(_SUFFIX)[0]
    _, _, region = bare.partition(".")
    return f"{bare.replace('_', '-')}{_SUFFIX}{'cn' if region.startswith('cn-') else 'com'}"


def _secrets(credentials: Mapping[str, Any]) -> dict[str, str]:
    named = {"username" if name == "user" else name: value for name, value in credentials.items()}
    try:
        login = SnowflakeLogin.model_validate(
            {name: value for name, value in named.items() if name in _KNOWN and value not in (None, "")}
        )
    except ValidationError:
        raise _incomplete("Each of them is text.") from None
    ways = [each for each in (login.password, login.private_key, login.access_token, login.token) if each is not None]
    if len(ways) != 1:
        raise _incomplete(
            "Give 'username' with one of 'password', 'privateKey' and 'token' (a programmatic access token), or "
            "'accessToken' (OAuth)."
        )
    if login.username is None and login.access_token is None:
        raise _incomplete("Add 'username'.")
    user = {} if login.username is None else {"user": login.username}
    if login.password is not None:
        return {**user, "authenticator": "SNOWFLAKE", "password": _clear(login.password)}
    if login.private_key is not None:
        passphrase = login.private_key_passphrase
        given = {} if passphrase is None else {"private_key_password": _clear(passphrase)}
        return {**user, "authenticator": "SNOWFLAKE_JWT", "private_key": _clear(login.private_key), **given}
    if login.access_token is not None:
        return {**user, "authenticator": "OAUTH", "token": _clear(login.access_token)}
    assert login.token is not None
    return {**user, "authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": _clear(login.token)}


def _clear(secret: SecretStr) -> str:
    return secret.get_secret_value().strip()


def _incomplete(hint: str) -> SourceError:
    return SourceError("bad_credentials", "The login is not complete, or it is more than one.", hint)
