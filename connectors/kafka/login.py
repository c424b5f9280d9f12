"""The address of a cluster and its credentials, as options of the client. Users cannot set options directly."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, ValidationError

from headrace.connectors.connector import Context
from headrace.connectors.errors import SourceError
from headrace.connectors.kafka.dialling import Dialling
from headrace.connectors.network.egress import Network, allowed_addresses, is_allowed
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.services import Kafka, KafkaLogin

_MOST_BROKERS = 500
_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster and its credentials. Its `repr` contains no secret."""

    place: Kafka
    login: KafkaLogin
    protocol: str
    networks: tuple[Network, ...]
    secrets: tuple[str, ...] = field(repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether brokers must present a certificate for their host name."""
        return self.protocol.endswith("SSL")

    def options(self) -> dict[str, Any]:
        """The client's options, without brokers, which `watched` adds."""
        options: dict[str, Any] = {
            "client.id": "headrace",
            "security.protocol": self.protocol,
            "socket.connection.setup.timeout.ms": 5000,
            # so that a refused login is not repeated until the user is locked
            "reconnect.backoff.ms": 1000,
            "reconnect.backoff.max.ms": 10_000,
            "allow.auto.create.topics": False,
            "enable.metrics.push": False,
        }
        if self.protocol.startswith("SASL"):
            assert self.login.username is not None
            options |= {
                "sasl.mechanism": self.place.sasl_mechanism,
                "sasl.username": self.login.username,
                "sasl.password": _clear(self.login.password),
            }
        if self.encrypted:
            options["ssl.endpoint.identification.algorithm"] = "https"
            if self.place.ssl_root_cert is not None:
                options["ssl.ca.pem"] = self.place.ssl_root_cert
            if self.login.ssl_cert is not None:
                options["ssl.certificate.pem"] = _clear(self.login.ssl_cert)
                options["ssl.key.pem"] = _clear(self.login.ssl_key)
        return options

    def watched(self, client: Any) -> Dialling:
        """Adds the brokers to a client and restricts its connections to checked addresses. Raises SourceError:
        `bad_option`, `not_installed`, and those of the egress rules."""
        servers = ",".join(self._bootstrap())
        return Dialling(client, self.networks, encrypted=self.encrypted, servers=servers)

    def checked(self, host: str, port: int) -> str:
        """An address of a broker that may be connected to. Raises SourceError: `insecure` without TLS outside the
        operator's networks, and those of the egress rules."""
        found = self.allowed(host, port, encrypted=self.encrypted)
        return found[0]

    def allowed(self, host: str, port: int, *, encrypted: bool) -> list[str]:
        """The checked addresses of a host."""
        found = allowed_addresses(host, port, self.networks)
        if not encrypted and any(is_allowed(ipaddress.ip_address(each), ()) for each in found):
            raise SourceError(
                "insecure", f"'{host}' would be reached without TLS, which others can read.", "Use SSL or SASL_SSL."
            )
        return found

    def _bootstrap(self) -> list[str]:
        servers = []
        for host, port in brokers(self.place.bootstrap_servers):
            address = self.checked(host, port)
            # With TLS the certificate proves the host; without, the address that was checked is connected to.
            shown = host if self.encrypted else address
            servers.append(f"[{shown}]:{port}" if ":" in shown else f"{shown}:{port}")
        return servers


def brokers(text: str) -> list[tuple[str, int]]:
    """Parses `host:port,host:port`. Raises SourceError(`bad_option`)."""
    found = []
    for each in text.split(","):
        host, colon, port = each.strip().rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= _MAX_PORT:
            raise SourceError(
                "bad_option",
                f"config.bootstrapServers: '{each.strip()[:100]}' is not host:port.",
                "Write host:port, several of them with commas between.",
            )
        found.append((host.removeprefix("[").removesuffix("]"), int(port)))
    if len(found) > _MOST_BROKERS:
        raise SourceError("bad_option", "config.bootstrapServers names too many brokers.", "A few will do.")
    return found


def access(context: Context) -> Access:
    """The login of a connection. Raises SourceError(`bad_credentials`, `bad_option`)."""
    config = dict(context.connection.config)
    if found := problems_of(Kafka, config):
        raise SourceError("bad_option", f"{found[0].path}: {found[0].message}.", found[0].hint)
    place, login = Kafka.model_validate(config), _login(context.connection.credentials)
    protocol = place.security_protocol
    if protocol is None:
        sasl = context.connection.type == "confluent_kafka" or login.username is not None
        protocol = "SASL_SSL" if sasl else "SSL"
    if protocol.startswith("SASL") and login.username is None:
        raise _incomplete(f"{protocol} needs 'username' and 'password'.")
    if not protocol.startswith("SASL") and login.username is not None:
        raise _incomplete(f"{protocol} sends no password: set config.securityProtocol to SASL_SSL.")
    secrets = [login.password, login.ssl_key, login.registry_password]
    known = tuple(each.get_secret_value() for each in secrets if each is not None)
    return Access(place, login, protocol, _networks(context.surroundings.networks), known)


def _networks(networks: Sequence[Network]) -> tuple[Network, ...]:
    return (*networks,)


def _login(credentials: Mapping[str, Any]) -> KafkaLogin:
    given = {name: value for name, value in credentials.items() if value not in (None, "")}
    try:
        login = KafkaLogin.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise _incomplete(f"It has no '{wrong[-1] if wrong else ''}', or not as a text.") from None
    for pair, said in (
        ((login.username, login.password), "'username' goes with 'password'."),
        ((login.ssl_cert, login.ssl_key), "A client certificate is 'sslCert' with 'sslKey'."),
        ((login.registry_username, login.registry_password), "'registryUsername' goes with 'registryPassword'."),
    ):
        if pair.count(None) == 1:
            raise _incomplete(said)
    return login


def _clear(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _incomplete(hint: str) -> SourceError:
    return SourceError("bad_credentials", "The login is not complete, or it is more than one.", hint)
