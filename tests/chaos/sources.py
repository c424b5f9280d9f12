"""The streams of the chaos tests: a topic, a data stream and a table, each read by a pipeline that streams."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import psycopg

from tests.conftest import RunningStack
from tests.connectors.kafka.brokers import Topics
from tests.connectors.kinesis.streams import KEY, REGION, Streams
from tests.connectors.sql.postgresql.changes.origin import LOGIN, Origin
from tests.connectors.sql.postgresql.changes.traffic import begin, busy
from tests.rest import Api

_EXECUTION = {"mode": "streaming", "parallelism": 2}


class Streamed(Api):
    """A pipeline that streams what `sends` adds."""

    kind: str

    def __init__(self, stack: RunningStack, direct_url: str, connector: dict[str, Any], **body: Any) -> None:
        self._direct = direct_url
        super().__init__(stack, None, execution=_EXECUTION, **body)
        made = self.make("/connectors", {"name": f"{self.name}_s", **connector})
        self.body["connectorId"] = made["id"]

    def sends(self, chance: Random) -> None:
        """Adds something."""
        raise NotImplementedError

    def expected(self) -> Counter[Any]:
        """The rows that the table is to have."""
        raise NotImplementedError

    def loaded(self) -> Counter[Any]:
        """The rows that it has, read without a proxy."""
        with psycopg.connect(self._direct) as connection:
            query = f"SELECT {self.columns} FROM {self.table}"
            return Counter(connection.execute(query.encode()).fetchall())

    columns = "amount, note"


class _Numbers(Streamed):
    """Records with the numbers from 1 on."""

    sent = 0

    def sends(self, chance: Random) -> None:
        many = chance.choice((1, 10, 300))
        numbers = range(self.sent + 1, self.sent + many + 1)
        self.puts([(number, b'{"amount": %d, "note": "n"}' % number) for number in numbers])
        self.sent += many

    def puts(self, records: list[tuple[int, bytes]]) -> None:
        raise NotImplementedError

    def expected(self) -> Counter[Any]:
        return Counter((number, "n") for number in range(1, self.sent + 1))


class KafkaNumbers(_Numbers):
    kind = "Kafka"

    def __init__(self, stack: RunningStack, direct_url: str, broker: Topics) -> None:
        self._broker, self._topic = broker, "chaos"
        broker.make(self._topic, 2)
        place = {"bootstrapServers": broker.servers, "securityProtocol": "PLAINTEXT"}
        source = {"connector": "kafka_consumer", "config": {"topic": self._topic}}
        super().__init__(stack, direct_url, {"type": "kafka", "config": place}, source=source)
        self.create()

    def puts(self, records: list[tuple[int, bytes]]) -> None:
        for number, value in records:
            self._broker.put(self._topic, value, partition=number % 2)
        self._broker.flush()


class KinesisNumbers(_Numbers):
    kind = "Kinesis"

    def __init__(self, stack: RunningStack, direct_url: str, service: Streams) -> None:
        self._service, self._stream = service, service.make(2)
        place = {"streamName": self._stream, "region": REGION, "endpoint": service.url}
        connector = {"type": "amazon_kinesis", "config": place, "authMethod": "access_key", "authConfig": dict(KEY)}
        source = {"connector": "kinesis_consumer", "config": {"streamName": self._stream}}
        super().__init__(stack, direct_url, connector, source=source)
        self.create()

    def puts(self, records: list[tuple[int, bytes]]) -> None:
        for first in range(0, len(records), 100):
            some = records[first : first + 100]
            put = [{"Data": value, "PartitionKey": str(number)} for number, value in some]
            answer = self._service.client.put_records(StreamName=self._stream, Records=put)
            assert answer["FailedRecordCount"] == 0


class Mirror(Streamed):
    """A copy of a table of another server."""

    kind = "changes"
    columns = "id, amount, note"

    def __init__(self, stack: RunningStack, direct_url: str, origin: Origin) -> None:
        self._origin = origin
        begin(origin)
        connector = {"type": "postgresql", "config": origin.config, "authMethod": "basic", "authConfig": LOGIN}
        source = {"connector": "postgresql", "config": {"table": "public.t", "changes": {}}}
        super().__init__(stack, direct_url, connector, source=source, fields=None)
        fields = [{"name": "id", "dataType": "bigint"}, {"name": "amount", "dataType": "integer"},
                  {"name": "note", "dataType": "text"}]  # fmt: skip
        schema = self.make("/schemas", {"name": f"{self.name}_m", "displayName": self.name, "fields": fields})
        self.table = f"public.{schema['tableName']}"
        self.body["schemaId"] = schema["id"]
        target = {"schema": self.table, "loadMode": "cdc_mirror", "upsertKey": ["id"]}
        self.body["ir"]["nodes"][-1].update(target)
        with psycopg.connect(direct_url) as connection:
            connection.execute(f"ALTER TABLE {self.table} ADD UNIQUE (id)".encode())
        self.create()

    def sends(self, chance: Random) -> None:
        busy(self._origin, chance, chance.choice((1, 5, 40)))

    def expected(self) -> Counter[Any]:
        return Counter(self._origin.rows("SELECT id, amount, note FROM t"))
