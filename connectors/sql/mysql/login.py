"""Connects to a user's MySQL server: checked addresses, TLS, a password or a certificate."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.network.egress import Network, allowed_addresses
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Login, MySQL
from headrace.connectors.sql.mysql.wire import Wire
from headrace.connectors.sql.secret_file import secret_file

CONNECT_SECONDS = 5
"""Seconds to connect to one address and log in."""

_MAX_ADDRESSES = 2


class _Named(ssl.SSLContext):
    """TLS to a server that is connected by address: SNI and verification use its name."""

    name = ""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **(options | {"server_hostname": self.name}))


@dataclass(frozen=True, slots=True)
class Access:
    """The address and credentials of a database. Its `repr` contains no secret."""

    place: MySQL
    login: Login
    networks: tuple[Network, ...]

    def connect(self, read_seconds: float) -> Wire:
        """Opens a connection, to be closed by the caller, with a read timeout. Raises SourceError: `unknown_host`,
        `address_refused`, `connection_failed`."""
        place = self.place
        addresses = allowed_addresses(place.host, place.port, self.networks)[:_MAX_ADDRESSES]
        tls = None if place.sslmode == "disable" else self._tls()
        for address in addresses[:-1]:
            try:
                return self._dialled(address, tls, read_seconds)
            except SourceError:
                continue
        return self._dialled(addresses[-1], tls, read_seconds)

    def _dialled(self, address: str, tls: ssl.SSLContext | None, read_seconds: float) -> Wire:
        wire = Wire(self.place, self.login, address, tls, CONNECT_SECONDS, read_seconds)
        try:
            wire.connect()
        except SourceError:
            if wire.speaks_tls or tls is None or wire.speaks_tls is None:
                raise
            if self.place.sslmode != "prefer":
                raise SourceError(
                    "connection_failed",
                    f"The server at {self.place.host} does not support TLS.",
                    "Set 'sslmode' to prefer or disable, or switch TLS on at the server.",
                ) from None
            return self._dialled(address, None, read_seconds)
        return wire

    def _tls(self) -> ssl.SSLContext:
        mode, root = self.place.sslmode, self.place.ssl_root_cert
        context = _Named(ssl.PROTOCOL_TLS_CLIENT)
        context.name = self.place.host
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if mode.startswith("verify") else ssl.CERT_NONE
        if mode == "verify-ca" and root is None:
            raise SourceError(
                "connection_failed",
                "sslmode verify-ca needs the authority that signed the server's certificate.",
                "Give its PEM text in 'sslRootCert', or use verify-full, for which the system's authorities will do.",
            )
        try:
            if root is not None and mode.startswith("verify"):
                context.load_verify_locations(cadata=root)
            elif mode == "verify-full":
                context.load_default_certs()
        except (ssl.SSLError, ValueError):
            raise SourceError(
                "connection_failed", "'sslRootCert' is not a certificate.", "Give its PEM text: -----BEGIN CERTIFICATE…"
            ) from None
        self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        certificate, key = self.login.ssl_cert, self.login.ssl_key
        if certificate is None or key is None:
            return
        with ExitStack() as stack:
            shown, secret = (stack.enter_context(secret_file(each.get_secret_value())) for each in (certificate, key))
            try:
                context.load_cert_chain(shown, secret, password="")
            except (ssl.SSLError, ValueError):
                raise SourceError(
                    "connection_failed",
                    "The client certificate and its key cannot be read.",
                    "Check the PEM texts 'sslCert' and 'sslKey'; the key must not be encrypted.",
                ) from None


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`)."""
    config = dict(context.connection.config)
    if found := problems_of(MySQL, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    return Access(
        MySQL.model_validate(config), _login(context.connection.credentials), (*context.surroundings.networks,)
    )


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
