"""A Kafka cluster is connected to only under the egress rules, with TLS outside the operator's networks, and without
client options of users; no credential is disclosed."""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.kafka.connector import KAFKA
from headrace.connectors.kafka.login import access
from headrace.connectors.kafka.settings import problems
from headrace.connectors.kafka.source import KafkaSource
from headrace.ir.schema import Field
from tests.connectors.kafka.brokers import LOOPBACK, Topics, mock_cluster, tansu
from tests.connectors.kafka.conftest import broker
from tests.connectors.kafka.tls_front import TlsFront
from tests.connectors.sql.postgresql.shop import Certificates, certificates
from tests.connectors.stores.emulators import free_port

__all__ = ["broker", "certificates"]
SECRET = "hunter2-and-more"


def context(networks: Any = LOOPBACK, credentials: dict[str, Any] | None = None, **config: Any) -> Context:
    connection = Connection("conn_1", "kafka", config, credentials or {})
    return Context(connection, Surroundings(FilesRoot("/nowhere"), tuple(networks)))  # type: ignore[arg-type]


def refusal(found: Context) -> SourceError:
    with pytest.raises(SourceError) as refused:
        KAFKA.tried(found)
    assert SECRET not in str(refused.value)
    return refused.value


def test_the_servers_own_network_is_not_dialled(broker: Topics) -> None:
    assert refusal(broker.context({}, networks=())).code == "address_refused"
    metadata = context((ip_network("169.254.0.0/16"),), bootstrapServers="169.254.169.254:9092")
    assert refusal(metadata).code == "address_refused"


def test_a_broker_that_the_cluster_announces_is_not_dialled_where_it_may_not_be() -> None:
    """Nobody comes to the port that is announced, neither for the topics nor for messages."""
    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.settimeout(1)
        announced = f"127.0.0.2:{inside.getsockname()[1]}"
        with tansu(advertised=announced) as port:
            found = context(bootstrapServers=f"127.0.0.1:{port}", securityProtocol="PLAINTEXT")
            assert refusal(found).code == "address_refused"
            source = KafkaSource(Context(found.connection, found.surroundings, {"topic": "t"}, (Field("id", "text"),)))
            with pytest.raises(SourceError, match=r"127\.0\.0\.2"):
                source.discover(max_partitions=1)
            with pytest.raises(TimeoutError):
                inside.accept()


def test_a_reader_in_another_process_checks_the_brokers_too(broker: Topics) -> None:
    from headrace.connectors.source import Partition

    with socket.create_server(("127.0.0.2", 0)) as inside:
        inside.settimeout(1)
        with tansu(advertised=f"127.0.0.2:{inside.getsockname()[1]}") as port:
            place = context(bootstrapServers=f"127.0.0.1:{port}", securityProtocol="PLAINTEXT")
            fields = (Field("id", "text"),)
            source = KafkaSource(Context(place.connection, place.surroundings, {"topic": "t"}, fields))
            layout = {"fields": [["id", "text", None, None, None]], "keys": {}, "closed": False, "schema": None}
            location = {"topic": "t", "partition": 0, "start": 0, "end": 5, "layout": layout}
            with pytest.raises(SourceError, match=r"127\.0\.0\.2"):
                list(source.read(Partition(0, 1, 5, location, counted=False), fields))
            with pytest.raises(TimeoutError):
                inside.accept()


def test_without_tls_only_the_operators_networks_are_reached() -> None:
    found = context((), bootstrapServers="1.1.1.1:9092", securityProtocol="PLAINTEXT")
    assert refusal(found).code == "insecure"
    login = {"username": "u", "password": SECRET}
    found = context((), login, bootstrapServers="1.1.1.1:9092", securityProtocol="SASL_PLAINTEXT")
    assert refusal(found).code == "insecure"


def test_a_login_without_a_protocol_is_sent_encrypted_only() -> None:
    login = {"username": "u", "password": SECRET}
    assert access(context(LOOPBACK, login, bootstrapServers="127.0.0.1:1")).protocol == "SASL_SSL"
    assert access(context(LOOPBACK, bootstrapServers="127.0.0.1:1")).protocol == "SSL"
    assert SECRET not in repr(access(context(LOOPBACK, login, bootstrapServers="127.0.0.1:1")))
    plain = context(LOOPBACK, login, bootstrapServers="127.0.0.1:1", securityProtocol="PLAINTEXT")
    assert refusal(plain).code == "bad_credentials"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("plugin.library.paths", "/tmp/evil.so"),
        ("ssl.engine.location", "/tmp/evil.so"),
        ("ssl.ca.location", "/etc/passwd"),
        ("sasl.kerberos.kinit.cmd", "touch /tmp/x"),
        ("sasl.oauthbearer.token.endpoint.url", "http://169.254.169.254/"),
    ],
)
def test_no_option_of_the_client_is_a_users(name: str, value: str) -> None:
    given = access(context(bootstrapServers="127.0.0.1:1", securityProtocol="SSL", **{name: value})).options()
    assert name not in given
    assert value not in given.values()
    assert problems({"topic": "t", name: value})[0].code == "unknown_field"


def test_a_host_cannot_smuggle_another(broker: Topics) -> None:
    for servers in ("127.0.0.1", "a b:1", "127.1:9092", "u@127.0.0.1:9092", "127.0.0.1:9092,", "2130706433:9092"):
        error = refusal(context(bootstrapServers=servers, securityProtocol="PLAINTEXT"))
        assert error.code in ("bad_option", "bad_host"), servers


def test_a_wrong_login_is_reported_at_once_and_without_the_password() -> None:
    with tansu("--authentication") as port:
        error = refusal(
            context(
                LOOPBACK,
                {"username": "reader", "password": SECRET},
                bootstrapServers=f"127.0.0.1:{port}",
                securityProtocol="SASL_PLAINTEXT",
                saslMechanism="SCRAM-SHA-256",
            )
        )
    assert error.code == "bad_credentials"


def test_the_certificate_has_to_be_of_the_host(certificates: Certificates) -> None:
    front = TlsFront(*certificates.server)
    with tansu(advertised=f"localhost:{front.port}") as port:
        front.to = port
        networks = (*LOOPBACK, ip_network("::1/128"))
        here = f"localhost:{front.port}"
        good = context(networks, bootstrapServers=here, sslRootCert=certificates.authority)
        assert "1 broker, TLS" in KAFKA.tried(good).message
        stranger = context(networks, bootstrapServers=here, sslRootCert=certificates.stranger)
        by_address = context(networks, bootstrapServers=f"127.0.0.1:{front.port}", sslRootCert=certificates.authority)
        for wrong in (stranger, by_address, context(networks, bootstrapServers=here)):
            assert refusal(wrong).code == "connection_failed"
        broken = context(networks, bootstrapServers=here, sslRootCert="-----BEGIN CERTIFICATE-----\nx")
        assert refusal(broken).code == "connection_failed"
    front.close()


def test_a_port_where_nobody_is_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.kafka.connector._CHECK_SECONDS", 1.0)
    found = context(bootstrapServers=f"127.0.0.1:{free_port()}", securityProtocol="PLAINTEXT")
    assert refusal(found).code == "connection_failed"


def test_the_schema_registry_is_reached_by_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.connectors.kafka.cluster.IDS_SECONDS", 0.2)
    with mock_cluster(1) as servers:
        topics = Topics(servers, single=False)
        topics.put("t", b"\0\0\0\0\1x")
        topics.flush()
        settings = {"topic": "t", "format": "avro", "options": {"registry": True}}
        for url, code in (("http://169.254.169.254", "address_refused"), ("http://10.0.0.1:8081", "address_refused")):
            source = KafkaSource(topics.context(settings, schemaRegistryUrl=url))
            with pytest.raises(SourceError) as refused:
                source.discover(max_partitions=1)
            assert refused.value.code == code
        login = {"registryUsername": "u", "registryPassword": SECRET}
        with pytest.raises(SourceError) as refused:
            KafkaSource(topics.context(settings, credentials=login, schemaRegistryUrl="http://1.1.1.1:8081"))
        assert refused.value.code == "insecure"
        assert SECRET not in str(refused.value)
