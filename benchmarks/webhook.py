"""A webhook: requests a second that are stored on disk, and records a second that a run loads.

    python -m benchmarks.webhook [--seconds 10] [--connections 32] [--senders 2]

Starts a PostgreSQL that waits for the disk and a facade of its own. Senders (processes) keep connections open and send
one signed record after the other on each: 110 bytes of JSON with an idempotency key. Then one run loads all of them.
Prints requests a second, p50, p95, p99 in milliseconds, and the CPU of the facade for a request.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg

from benchmarks.api import facade
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.files.paths import FilesRoot
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.runs import Recording

_SECRET = "a-secret-of-the-benchmark-0123"
_FIELDS = [{"name": "id", "dataType": "bigint"}, {"name": "note", "dataType": "text"}]


def _requests(url: str, sender: int, connection: int, seconds: float) -> tuple[str, int, str, int, int, float]:
    parts = urlsplit(url)
    return str(parts.hostname), int(parts.port or 80), parts.path, sender, connection, seconds


async def _sender(host: str, port: int, path: str, sender: int, connection: int, seconds: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    took: list[float] = []
    ends, number = time.perf_counter() + seconds, 0
    while (began := time.perf_counter()) < ends:
        number += 1
        key = f"{sender}-{connection}-{number}"
        body = b'{"id": %d, "note": "%s"}' % (number, b"n" * 90)
        mac = hmac.new(_SECRET.encode(), body, hashlib.sha256).hexdigest()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-Hub-Signature-256: sha256={mac}\r\nX-GitHub-Delivery: {key}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        await reader.readexactly(length)
        took.append((time.perf_counter() - began) * 1000)
        if b" 202 " not in answer.split(b"\r\n", 1)[0]:
            raise RuntimeError(answer.decode())
    writer.close()
    return took


def _send(url: str, sender: int, connections: int, seconds: float) -> list[float]:
    async def all_of() -> list[float]:
        each = [_sender(*_requests(url, sender, connection, seconds)) for connection in range(connections)]
        return [took for found in await asyncio.gather(*each) for took in found]

    return asyncio.run(all_of())


def _load(database_url: str, hook: str) -> tuple[int, float, float]:
    """Rows, seconds and seconds of CPU of a run that loads everything."""
    nodes = [
        {"id": "src", "kind": "source", "connector": "webhook", "config": {}, "fields": _FIELDS},
        {"id": "tgt", "kind": "target", "input": "src", "schema": "public.sent", "loadMode": "append"},
    ]
    ir = {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.sent (id bigint, note text)")
    record = ConnectorRecord(hook, "webhook", {}, {})
    tables = frozenset({"public.sent"})
    pipeline = RunPipeline("pipe_bench", "default", "P", ir, 1, record, {"mode": "micro_batch"}, tables)
    job = Job(
        "run_bench", pipeline, database_url, FilesRoot(Path("/nowhere")), Continuation("run_bench"),
        catalog_url=database_url,
    )  # fmt: skip
    began, used = time.perf_counter(), time.process_time()
    totals = run_in_threads(Execution(prepare(job), Recording()))
    return totals.rows_out, time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--senders", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        unbounded = {"HOOK_RATE_LIMIT": "0", "MAX_REQUESTS": "1000", "MAX_REQUESTS_PER_TENANT": "1000"}
        with facade(folder, 1, durable=True, **unbounded) as (base, key, url):
            body = {
                "name": "sent",
                "type": "webhook",
                "config": {"verify": "github"},
                "authConfig": {"secret": _SECRET},
            }
            hook = httpx.post(f"{base}/connectors", json=body, headers={"X-API-Key": key}).json()["id"]
            address = f"{base}/hooks/{hook}"
            [server] = [each for each in psutil.Process().children() if "headrace.api.server" in each.cmdline()]
            each = options.connections // options.senders
            with ProcessPoolExecutor(options.senders) as pool:
                list(pool.map(_send, [address] * options.senders, range(100, 200), [2] * 2, [1.0] * options.senders))
                before, began = server.cpu_times(), time.perf_counter()
                given = [[address] * options.senders, range(options.senders)]
                found = pool.map(_send, *given, [each] * options.senders, [options.seconds] * options.senders)
                took = [one for part in found for one in part]
                seconds, after = time.perf_counter() - began, server.cpu_times()
            cpu = after.user + after.system - before.user - before.system
            cuts = statistics.quantiles(took, n=100)
            print(f"{options.connections} connections: {len(took) / seconds:,.0f} requests/s stored")
            print(f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms")
            print(f"{cpu / len(took) * 1000:.2f} ms CPU of the facade for each")
            rows, loading, used = _load(url, hook)
            print(f"{rows:,} records loaded in {loading:.2f} s: {rows / loading:,.0f}/s, {used:.2f} s CPU of the run")


if __name__ == "__main__":
    main()
