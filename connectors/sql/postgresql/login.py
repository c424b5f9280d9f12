"""Connects to a user's PostgreSQL server: checked addresses, TLS, a password or a certificate."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from pydantic import SecretStr, ValidationError

from headrace.connectors.connector import Connection, Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, allowed_addresses
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Login, PostgreSQL
from headrace.connectors.sql.postgresql.errors import refused
from headrace.connectors.sql.secret_file import secret_file

CONNECT_SECONDS = 5
"""Seconds to connect to one address."""

_MAX_ADDRESSES = 2
_NO_FILE = f"{os.devnull}/none"


@dataclass(frozen=True, slots=True)
class Access:
    """The address and credentials of a database. Its `repr` contains no secret."""

    place: PostgreSQL
    login: Login
    networks: tuple[Network, ...]

    def connect(self) -> psycopg.Connection[Any]:
        """Opens a connection in autocommit. Raises SourceError: `unknown_host`, `address_refused`,
        `connection_failed`."""
        try:
            return self.dial(autocommit=True, prepare_threshold=None)
        except psycopg.Error as error:
            raise refused(error, self.place) from None

    def dial(
        self,
        *,
        autocommit: bool = False,
        connect_timeout: int = CONNECT_SECONDS,
        application_name: str = "headrace",
        prepare_threshold: int | None = 5,
    ) -> psycopg.Connection[Any]:
        """Opens a connection. Raises SourceError (`unknown_host`, `address_refused`) and psycopg.Error."""
        place, password = self.place, self.login.password.get_secret_value()
        addresses = allowed_addresses(place.host, place.port, self.networks)[:_MAX_ADDRESSES]
        with _files(place.ssl_root_cert, self.login.ssl_cert, self.login.ssl_key) as (root, certificate, key):
            return psycopg.connect(
                # the name for TLS, the checked address to connect to: it must not be resolved a second time
                host=",".join([place.host] * len(addresses)),
                hostaddr=",".join(addresses),
                port=str(place.port),
                dbname=place.database,
                user=self.login.username,
                password=password,
                sslmode=place.sslmode,
                connect_timeout=connect_timeout,
                client_encoding="UTF8",
                application_name=application_name,
                autocommit=autocommit,
                prepare_threshold=prepare_threshold,
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=6,
                # this machine's options, passwords, certificates and tickets must not be used for a user's server
                options="",
                passfile=_NO_FILE,
                sslcert=certificate or _NO_FILE,
                sslkey=key or _NO_FILE,
                sslcertmode="disable" if certificate is None else "allow",
                sslrootcert=root or ("system" if place.sslmode == "verify-full" else _NO_FILE),
                sslcrl=_NO_FILE if root is not None else "",
                gssencmode="disable",
                require_auth="!gss,!sspi",
            )


def access(context: Context) -> Access:
    """The login of a source's connection. Raises SourceError(`bad_credentials`, `bad_option`)."""
    return door_of(context.connection, context.surroundings.networks)


def door_of(connection: Connection, networks: Sequence[Network]) -> Access:
    """The login of a connection; does not connect. Raises SourceError(`bad_credentials`, `bad_option`)."""
    config = dict(connection.config)
    if found := problems_of(PostgreSQL, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return Access(PostgreSQL.model_validate(config), _login(connection.credentials), (*networks,))


def _login(credentials: Mapping[str, Any]) -> Login:
    named = {"username" if name == "user" else name: value for name, value in credentials.items()}
    known = {"username", "password", "sslCert", "sslKey"}
    try:
        login = Login.model_validate(
            {name: value for name, value in named.items() if name in known and value is not None}
        )
    except ValidationError:
        raise SourceError(
            "bad_credentials", "The login is not complete.", "authConfig needs 'username' and 'password'."
        ) from None
    if (login.ssl_cert is None) != (login.ssl_key is None):
        raise SourceError(
            "bad_credentials", "The login is not complete.", "A client certificate is 'sslCert' with 'sslKey'."
        )
    return login


@contextmanager
def _files(root: str | None, certificate: SecretStr | None, key: SecretStr | None) -> Iterator[list[str | None]]:
    """Writes texts to files that only this user can read, deleted after the connection is made."""
    texts = [root, *(None if each is None else each.get_secret_value() for each in (certificate, key))]
    with ExitStack() as stack:
        yield [None if text is None else stack.enter_context(secret_file(text)) for text in texts]
