"""Small JSON records from a Kinesis stream into PostgreSQL, against a bare loop that reads and forgets them.

    python -m benchmarks.kinesis [RECORDS]

The service is kinesalite (npm), an emulator in one process of Node.js, with its stream in memory; PostgreSQL is the
embedded one. Both take part of the machine's processors. Amazon's own service gives a shard's reader 2 MB in a second.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.kafka import FIELDS, RECORD, timed
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

if TYPE_CHECKING:
    from tests.connectors.kinesis.streams import Streams

_RECORDS, _SHARDS = 200_000, 2


def fill(streams: Streams, records: int, *, together: int = 1) -> str:
    """A stream with records of about 95 bytes, so many of them together in one."""
    from tests.connectors.kinesis.producing import aggregated

    name = streams.make(_SHARDS)
    values = [(RECORD % (number, number % 1000, number % 9000)).encode() for number in range(records)]
    if together > 1:
        groups = (values[at : at + together] for at in range(0, records, together))
        values = [aggregated([("k", each) for each in group]) for group in groups]
    streams.put(name, *values)
    return name


def bare(streams: Streams, name: str, records: int) -> int:
    """The client of AWS for Python, which takes every record and does nothing with it."""
    seen = 0
    for shard in streams.client.list_shards(StreamName=name)["Shards"]:
        where = {"StreamName": name, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        iterator = streams.client.get_shard_iterator(**where)["ShardIterator"]
        while found := streams.client.get_records(ShardIterator=iterator):
            seen += len(found["Records"])
            iterator = found["NextShardIterator"]
            if not found["Records"]:
                break
    assert seen == records
    return seen


def load(streams: Streams, name: str, url: str) -> int:
    """A run into a table."""
    from tests.connectors.kinesis.streams import KEY, REGION
    from tests.flows.runtime.runs import Runner

    config = {"foreignRecords": "keep"}
    nodes: list[dict[str, Any]] = [
        {"id": "src", "kind": "source", "connector": "kinesis_consumer", "config": config, "fields": FIELDS},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_orders"},
    ]
    place = {"streamName": name, "region": REGION, "endpoint": streams.url}
    return Runner(Path("/nowhere"), url, type="amazon_kinesis", config=place, credentials=dict(KEY)).run(nodes).rows_out


def main() -> None:
    """Two rounds of each."""
    from tests.connectors.kinesis.streams import kinesalite

    records = int(sys.argv[1]) if len(sys.argv) > 1 else _RECORDS
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, kinesalite() as streams:
        plain, packed = fill(streams, records), fill(streams, records, together=100)
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "postgresql.log", DISPOSABLE)
        Path(folder).chmod(0o755)
        server.start()
        try:
            url = server.url("postgres")
            for _ in range(2):
                timed("bare boto3 loop", lambda: bare(streams, plain, records))
                for what, name in (("run into PostgreSQL", plain), ("the same, aggregated", packed)):
                    with psycopg.connect(url, autocommit=True) as connection:
                        connection.execute(
                            "DROP TABLE IF EXISTS public.ds_orders; DROP SCHEMA IF EXISTS _headrace CASCADE"
                        )
                        connection.execute(
                            "CREATE TABLE public.ds_orders "
                            "(id bigint, customer text, amount numeric(12,2), at timestamptz)"
                        )
                    timed(what, lambda name=name: load(streams, name, url))  # type: ignore[misc]
        finally:
            server.stop()


if __name__ == "__main__":
    main()
