"""The facade under a steady load: the slowest per cent of its answers with 10,000 pipelines in the catalog.

    python -m benchmarks.api [--pipelines 10000] [--rate 100] [--seconds 30]

Starts a PostgreSQL and a facade of its own (no Prefect: no request here needs it), fills the catalog, and sends
requests at a fixed rate from an open loop: a request is sent when it is due, whether or not the one before it was
answered, so that a stall is seen by every request it delays. Prints p50, p95, p99 and the slowest, in milliseconds, per
kind of request."""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psycopg

from headrace.catalog.bootstrap import ensure_tenant, issue_key
from headrace.catalog.engine import make_engine, upgrade
from headrace.catalog.runs.store import RunStore
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres, ensure_database
from headrace.deployments.stack.ports import choose_port

PEPPER = secrets.token_urlsafe(32)
ENCRYPTION_KEY = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
RUNNING = f"run_{'1' * 32}"
REPORT_EVERY_S = 1.0
PARTITIONS = 8

_FILL = """
    SET session_replication_role = replica;
    INSERT INTO headrace.connectors (id, tenant_id, name, type, config, auth_method, status)
    SELECT 'conn_' || t || '_' || n, t, 'files ' || n, 'local_fs', '{}', 'none', 'active'
    FROM unnest(ARRAY['default', 'other']) t, generate_series(1, 10) n;
    INSERT INTO headrace.schemas
        (id, tenant_id, name, display_name, table_name, entity_type, schema_type, status, auto_enrich)
    SELECT 'schema_' || t || '_' || n, t, 'orders_' || n, 'Orders', 'ds_' || t || '_' || n, 'custom', 'x', 'active',
        false
    FROM unnest(ARRAY['default', 'other']) t, generate_series(1, 10) n;
    INSERT INTO headrace.pipelines
        (id, tenant_id, name, status, connector_id, schema_id, execution_config, nodes, edges, live_version, created_at)
    SELECT 'pipe_' || t || '_' || n, t, 'pipeline ' || n, 'active', 'conn_' || t || '_' || (n % 10 + 1),
        'schema_' || t || '_' || (n % 10 + 1), '{"batchSize": 5000, "parallelism": 4}', '[]', '[]', 1,
        now() - n * interval '1 minute'
    FROM unnest(ARRAY['default', 'other']) t, generate_series(1, PIPELINES) n;
    INSERT INTO headrace.pipeline_ir_versions (pipeline_id, version, ir, authored_by)
    SELECT id, 1, 'IR_DOCUMENT', 'bench' FROM headrace.pipelines;
    INSERT INTO headrace.pipeline_runs
        (id, tenant_id, pipeline_id, ir_version, root_run_id, status, load_strategy, created_at)
    SELECT 'run_' || md5(p.id || n), p.tenant_id, p.id, 1, 'run_' || md5(p.id || n), 'completed', 'append',
        now() - n * interval '1 hour'
    FROM headrace.pipelines p, generate_series(1, 5) n;
"""

_IR = {
    "kind": "pipeline",
    "version": "1.0",
    "id": "orders",
    "metadata": {"name": "orders"},
    "nodes": [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}},
        {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", "loadMode": "append"},
    ],
}


@dataclass
class Measured:
    """Milliseconds from when a request was due to its answer's last byte, and what went wrong."""

    took: list[float] = field(default_factory=list)
    failed: int = 0


@contextmanager
def facade(folder: Path, pipelines: int, *, durable: bool = False, **more: str) -> Iterator[tuple[str, str, str]]:
    """A facade on a filled catalog: its URL, an API key, and the database. `durable`: PostgreSQL waits for the disk.
    `more` are settings of the facade."""
    data, log = folder / "postgres", folder / "postgresql.log"
    postgres = EmbeddedPostgres(data, log) if durable else EmbeddedPostgres(data, log, DISPOSABLE)
    postgres.start()
    process = None
    try:
        ensure_database(postgres.url("postgres"), "bench")
        url = postgres.url("bench")
        upgrade(url)
        engine = make_engine(url)
        for tenant in ("default", "other"):
            ensure_tenant(engine, tenant)
        key = issue_key(engine, tenant_id="default", name="bench", role="editor", pepper=PEPPER)
        engine.dispose()
        with psycopg.connect(url, autocommit=True) as connection:
            fill = _FILL.replace("PIPELINES", str(pipelines)).replace("IR_DOCUMENT", json.dumps(_IR))
            connection.execute(fill)
            connection.execute("VACUUM ANALYZE")  # as autovacuum has done by the time a catalog is this large
        port = choose_port("127.0.0.1", 0, "--port")
        settings = {
            **more,
            "DATABASE_URL": url,
            "KEY_PEPPER": PEPPER,
            "ENCRYPTION_KEYS": ENCRYPTION_KEY,
            "PORT": str(port),
        }
        command = [sys.executable, "-m", "headrace.api.server"]
        with (folder / "facade.log").open("wb") as written:
            process = subprocess.Popen(
                [*command, "--port", str(port)],
                env=os.environ | {f"HEADRACE_{name}": value for name, value in settings.items()},
                stdout=written,
                stderr=written,
            )
        base = f"http://127.0.0.1:{port}"
        while not _answers(f"{base}/healthz"):
            if process.poll() is not None:
                raise RuntimeError((folder / "facade.log").read_text())
            time.sleep(0.1)
        yield f"{base}/api/v1", key, url
    finally:
        if process is not None:
            process.terminate()
            process.wait()
        postgres.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


async def a_running_run(database_url: str, pipeline_id: str, seconds: float) -> None:
    """Reports as a flow does: every partition once a second."""
    engine = make_engine(database_url)
    store = RunStore(engine)
    facts = {"tenant_id": "default", "pipeline_id": pipeline_id, "root_run_id": RUNNING, "ir_version": 1}
    store.open(RUNNING, **facts, retry_of=None, load_strategy="append", status="running")  # type: ignore[arg-type]
    partitions = [(0, index, 1_000_000) for index in range(PARTITIONS)]
    store.started(RUNNING, total_rows=8_000_000, fingerprint={}, plan={}, partitions=partitions)
    cell = {"column": "amount", "value": "x", "error": "Expected integer", "rule": "type", "sources": None}
    store.cells.add(RUNNING, RUNNING, "src", 0, 0, cells=json.dumps([{"row": row, **cell} for row in range(200)]))
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        rows = int(passed * 10_000)
        for index in range(PARTITIONS):
            nodes = {"src": {"rowsIn": rows}, "tgt": {"rowsLoaded": rows}}
            report = partial(store.counts.report, RUNNING, 0, index, status="running", nodes=nodes)
            await asyncio.to_thread(report, rows_in=rows, rows_out=rows, failed=0, skipped=0)
        await asyncio.sleep(REPORT_EVERY_S)
    engine.dispose()


async def load(base: str, key: str, *, pipelines: int, rate: float, seconds: float) -> dict[str, Measured]:
    """Asks `rate` times a second, a third of it each: a page of the list, one pipeline, the running run's progress."""
    chance = random.Random(0)
    found: dict[str, Measured] = defaultdict(Measured)
    cursors: list[str] = []
    limits = httpx.Limits(max_connections=200, keepalive_expiry=3)  # less than the facade keeps them
    headers = {"X-API-Key": key}
    async with httpx.AsyncClient(base_url=base, headers=headers, limits=limits, timeout=30) as client:

        async def ask(kind: str, path: str, due: float) -> None:
            response = await client.get(path)
            found[kind].took.append((asyncio.get_running_loop().time() - due) * 1000)
            found[kind].failed += not response.is_success
            if kind == "list page" and (cursor := response.json()["pagination"]["cursor"]):
                cursors.append(cursor)

        def path_of(kind: str) -> str:
            if kind == "one pipeline":
                return f"/pipelines/pipe_default_{chance.randint(1, pipelines)}"
            if kind == "progress":
                return f"/pipelines/pipe_default_1/runs/{RUNNING}/progress"
            return f"/pipelines?cursor={chance.choice(cursors)}" if cursors and chance.random() < 0.9 else "/pipelines"

        began = asyncio.get_running_loop().time() + 0.1
        tasks = []
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            kind = ("list page", "one pipeline", "progress")[number % 3]
            tasks.append(asyncio.create_task(ask(kind, path_of(kind), due)))
        await asyncio.gather(*tasks)
    return found


async def measure(base: str, key: str, url: str, *, pipelines: int, rate: float, seconds: float) -> dict[str, Measured]:
    """A warm-up of ten seconds, then the measurement, beside a run that reports."""
    run = asyncio.create_task(a_running_run(url, "pipe_default_1", seconds + 12))
    await asyncio.sleep(1)
    await load(base, key, pipelines=pipelines, rate=rate, seconds=10)
    found = await load(base, key, pipelines=pipelines, rate=rate, seconds=seconds)
    await run
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        with facade(folder, options.pipelines) as (base, key, url):
            print(f"{options.pipelines:,} pipelines per tenant, {options.rate:g} requests/s for {options.seconds:g} s")
            gc.collect()
            gc.freeze()  # pauses of the client are not the facade's
            found = asyncio.run(measure(base, key, url, **vars(options)))
    print(f"{'':14}{'requests':>10}{'failed':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}  ms")
    for kind, measured in found.items():
        cuts = statistics.quantiles(measured.took, n=100)
        numbers = "".join(f"{value:8.1f}" for value in (cuts[49], cuts[94], cuts[98], max(measured.took)))
        print(f"{kind:14}{len(measured.took):10}{measured.failed:8}{numbers}")


if __name__ == "__main__":
    main()
