"""Connects to a deployment and authenticates: checked addresses, TLS, a password or a certificate."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.address import Address, BadAddress, address_of, host_of
from headrace.connectors.mongodb.dialling import Dialler
from headrace.connectors.mongodb.errors import refused
from headrace.connectors.network.egress import Network
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import MongoDB, MongoLogin
from headrace.connectors.sql.secret_file import secret_file

ANSWER_MS = 5_000
"""Milliseconds to find a readable member."""
CONNECT_MS = 3_000
_KNOWN = {"username", "password", "sslCert", "sslKey"}


@dataclass(frozen=True, slots=True)
class Access:
    """A deployment and its credentials. Its `repr` contains no secret."""

    address: Address
    database: str
    tls: bool
    networks: tuple[Network, ...]
    root: str | None = None
    certificate: str | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The hosts, for messages."""
        hosts = [host if port == 27017 or self.address.srv else f"{host}:{port}" for host, port in self.address.hosts]
        return ",".join(hosts)

    def client(self, *, seconds: float) -> tuple[Any, Dialler]:
        """A client of the driver, not yet connected, that connects to checked addresses only. Raises SourceError."""
        import pymongo
        from bson.codec_options import DatetimeConversion
        from pymongo.errors import PyMongoError

        address = self.address
        dialler = Dialler(self.networks, tls=self.tls)
        if not address.srv:
            for host, port in address.hosts:
                dialler.addresses(host, port)
        given: dict[str, Any] = dict(address.options)
        if address.username is not None:
            given["username"] = address.username
        if address.password is not None:
            given["password"] = address.password
        elif self.certificate is not None:
            given |= {"authMechanism": "MONGODB-X509", "authSource": "$external"}
        where: Any = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in address.hosts]
        if address.srv:
            where = f"mongodb+srv://{address.hosts[0][0]}/"
        if self.tls:
            given |= {"tls": True, "tlsDisableOCSPEndpointCheck": True}
        else:
            given |= {"tls": False}
        with ExitStack() as stack:
            if self.tls and self.root is not None:
                given["tlsCAFile"] = stack.enter_context(secret_file(self.root))
            if self.tls and self.certificate is not None:
                given["tlsCertificateKeyFile"] = stack.enter_context(secret_file(self.certificate))
            try:
                client: Any = pymongo.MongoClient(
                    where,
                    connect=False,
                    appname="headrace",
                    serverSelectionTimeoutMS=ANSWER_MS,
                    connectTimeoutMS=CONNECT_MS,
                    socketTimeoutMS=int(seconds * 1000) + 60_000,
                    readConcernLevel="majority",
                    retryReads=True,
                    datetime_conversion=DatetimeConversion.DATETIME_MS,
                    _pool_class=dialler.pool(),
                    **given,
                )
            except (PyMongoError, OSError, ValueError, TypeError) as error:
                raise refused(error, self.name) from None
        return client, dialler


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`)."""
    connection = context.connection
    secret = connection.credentials.get("connectionString")
    config = {**connection.config, **({} if secret is None else {"connectionString": secret})}
    if found := problems_of(MongoDB, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    place = MongoDB.model_validate(config)
    address = _address(place)
    login = _login(connection.credentials)
    database = place.database or address.database
    if database is None:
        raise SourceError("bad_option", "The connector names no database.", "Set 'database' in the connector's config.")
    if any(mark in database for mark in '/\\. "$*<>:|?\0'):
        raise SourceError("bad_option", f"'{database}' is not the name of a database.", "Check 'database'.")
    tls = place.tls if place.tls is not None else address.tls is not False
    certificate = None
    if login.ssl_cert is not None and login.ssl_key is not None:
        if not tls:
            raise SourceError("bad_option", "A client certificate needs TLS.", "Set 'tls' to true.")
        certificate = login.ssl_cert.get_secret_value().strip() + "\n" + login.ssl_key.get_secret_value().strip()
    password = None if login.password is None else login.password.get_secret_value()
    if login.username is not None or password is not None:
        address = replace(address, username=login.username, password=password)
    mechanism = address.options.get("authMechanism")
    by_certificate = certificate is not None and address.password is None
    if not by_certificate and (
        (address.username is None) != (address.password is None) or (mechanism is not None and address.username is None)
    ):
        raise SourceError(
            "bad_credentials",
            "The login is not complete.",
            "authConfig needs 'username' and 'password', or 'sslCert' and 'sslKey'.",
        )
    return Access(address, database, tls, (*context.surroundings.networks,), place.ssl_root_cert, certificate)


def _address(place: MongoDB) -> Address:
    try:
        if place.connection_string is not None:
            found = address_of(place.connection_string)
        else:
            hosts = str(place.host).split(",")
            port = place.port or 27017
            found = Address(tuple(host_of(each, port) for each in hosts))
    except BadAddress as error:
        where = "connectionString" if place.connection_string is not None else "host"
        raise SourceError("bad_option", f"config.{where}: {error}.", error.hint) from None
    own = {
        "replicaSet": place.replica_set,
        "authSource": place.auth_source,
        "authMechanism": place.auth_mechanism,
        "readPreference": place.read_preference,
    }
    options = {**found.options, **{name: value for name, value in own.items() if value is not None}}
    if options.get("authMechanism") == "DEFAULT":
        del options["authMechanism"]
    alone = len(found.hosts) == 1 and not found.srv
    if alone and "replicaSet" not in options and "loadBalanced" not in options:
        options.setdefault("directConnection", True)
        options.setdefault("readPreference", "primaryPreferred")
    return replace(found, options=options)


def _login(credentials: Mapping[str, Any]) -> MongoLogin:
    named = {"username" if name == "user" else name: value for name, value in credentials.items()}
    try:
        login = MongoLogin.model_validate(
            {name: value for name, value in named.items() if name in _KNOWN and value not in (None, "")}
        )
    except ValidationError:
        raise SourceError("bad_credentials", "The login is not complete.", "Each of its parts is text.") from None
    if (login.ssl_cert is None) != (login.ssl_key is None):
        raise SourceError(
            "bad_credentials", "The login is not complete.", "A client certificate is 'sslCert' with 'sslKey'."
        )
    return login
