"""The server time of each page of the console, with 10,000 pipelines, a million errors and 100,000 audit entries.

    python -m benchmarks.console [--pipelines 10000] [--errors 1000000] [--requests 40] [--only file]

Starts a PostgreSQL and a facade of its own (no Prefect), fills the catalog, and asks for each page one after another.
Prints p50, p95 and the slowest, in milliseconds, and the processor time of the facade and of PostgreSQL per request,
which is about the same on a busy machine."""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psycopg

from benchmarks.api import facade

RUN = f"run_{'2' * 32}"

_FILL = """
    SET session_replication_role = replica;
    UPDATE headrace.pipelines SET live_schedule = '{"kind": "cron", "expression": "0 2 * * *", "timezone": "UTC"}',
        scheduled_since = created_at, last_run_at = created_at,
        last_run_status = CASE WHEN abs(hashtext(id)) % 5 = 0 THEN 'failed' ELSE 'completed' END;
    INSERT INTO headrace.due_runs (pipeline_id, tenant_id, due_at)
    SELECT id, tenant_id, CASE WHEN abs(hashtext(id)) % 50 = 0 THEN now() - interval '1 hour' ELSE now() END
        + interval '5 minutes' FROM headrace.pipelines;
    UPDATE headrace.pipeline_runs SET started_at = created_at, finished_at = created_at + interval '1 minute',
        rows_in = 1000, rows_out = 1000, failed_rows = 0, skipped_rows = 0;
    INSERT INTO headrace.pipeline_runs (id, tenant_id, pipeline_id, ir_version, root_run_id, status, load_strategy,
        plan, started_at, finished_at)
    VALUES ('RUN', 'default', 'pipe_default_1', 1, 'RUN', 'completed_with_errors', 'append',
        '{"stages": [{"name": "src > tgt", "nodes": ["src", "tgt"]}]}', now(), now());
    INSERT INTO headrace.run_partitions (run_id, stage, index, planned_rows, status, rows_in, rows_out, failed)
    SELECT 'RUN', 0, n, 40000, 'completed', 40000, 20000, 20000 FROM generate_series(0, 49) n;
    INSERT INTO headrace.run_nodes (run_id, stage, partition, node_id, counters)
    SELECT 'RUN', 0, n, node, '{"rowsIn": 40000, "rowsOut": 20000, "failed": 20000, "skipped": 0, "warned": 0}'
    FROM generate_series(0, 49) n, unnest(ARRAY['src', 'tgt']) node;
    INSERT INTO headrace.run_errors (root_run_id, node_id, rule, "column", warning, row, partition, stage, run_id,
        value, error, sources)
    SELECT 'RUN', 'src', 'rule' || n % 6, CASE WHEN n < 500 THEN 'rare' ELSE 'column' || n % 10 END, n % 6 = 0, n,
        n / 20000, 0, 'RUN', 'value ' || n, 'Expected integer', jsonb_build_array(
            jsonb_build_object('node', 'src', 'row', n, 'file', CASE WHEN n % 40000 = 7 THEN 'scattered.csv'
                WHEN n > ERRORS - 30 THEN 'last.csv' ELSE 'orders.csv' END),
            jsonb_build_object('node', 'customers', 'row', n % 100, 'file',
                CASE WHEN n % 40000 = 9 THEN 'new.csv' ELSE 'customers.csv' END))
    FROM generate_series(1, ERRORS) n;
    INSERT INTO headrace.run_error_counts
    SELECT root_run_id, run_id, node_id, rule, "column", warning, stage, partition, count(*)
    FROM headrace.run_errors GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
    INSERT INTO headrace.run_log (run_id, stage, message) SELECT 'RUN', 'load', 'line ' || n
    FROM generate_series(1, 20000) n;
    INSERT INTO headrace.audit_log (id, tenant_id, sequence, action, entity_type, entity_id, user_id, user_name,
        prev_hash, integrity_hash, after)
    SELECT 'audit_' || n, 'default', 1000000 + n, 'update', 'pipeline', 'pipe_default_' || n % 1000, 'key', 'bench', '',
        '', '{"name": "x"}' FROM generate_series(1, 100000) n;
"""

PAGES = {
    "home": "/",
    "home, a later page": "/?status=active",
    "home, search": "/?q=99",
    "home, search without hits": "/?q=zzzz",
    "calendar": "/calendar",
    "calendar, all pipelines": "/calendar?all=true",
    "pipeline": "/pipelines/pipe_default_1",
    "versions": "/pipelines/pipe_default_1/versions",
    "run": f"/runs/{RUN}",
    "run, live part": f"/runs/{RUN}/live",
    "log, search": f"/runs/{RUN}/log?q=line+199",
    "log, search without hits": f"/runs/{RUN}/log?q=zzzz",
    "errors": f"/runs/{RUN}/errors",
    "errors of a group": f"/runs/{RUN}/errors?node=src&rule=rule1&column=column7&kind=failed",
    "errors, few hits": f"/runs/{RUN}/errors?column=rare",
    "errors without hits": f"/runs/{RUN}/errors?node=src&rule=rule1&column=column2",
    "errors of a file": f"/runs/{RUN}/errors?file=orders.csv",
    "errors of a joined file": f"/runs/{RUN}/errors?file=customers.csv",
    "errors of a file, few hits": f"/runs/{RUN}/errors?file=scattered.csv",
    "errors of a joined file, few": f"/runs/{RUN}/errors?file=new.csv",
    "errors of a file, at the end": f"/runs/{RUN}/errors?file=last.csv",
    "errors of a file without hits": f"/runs/{RUN}/errors?file=none.csv",
    "file without hits in a group": f"/runs/{RUN}/errors?file=none.csv&node=src&rule=rule1&column=column7",
    "groups of a file, few hits": f"/runs/{RUN}/errors/groups?file=scattered.csv",
    "CSV of a file, few hits": f"/runs/{RUN}/errors.csv?file=scattered.csv",
    "REST, errors": f"/api/v1/pipelines/pipe_default_1/runs/{RUN}/errors?limit=50",
    "REST, warnings": f"/api/v1/pipelines/pipe_default_1/runs/{RUN}/errors?limit=50&kind=warned",
    "REST, file with few hits": f"/api/v1/pipelines/pipe_default_1/runs/{RUN}/errors?file=scattered.csv",
    "REST, totals of a file": f"/api/v1/pipelines/pipe_default_1/runs/{RUN}/errors/summary?file=scattered.csv",
    "error groups": f"/runs/{RUN}/errors/groups",
    "audit": "/audit",
    "audit, of a kind": "/audit?kind=pipeline",
    "audit, the oldest": "/audit?page=1000",
    "keys": "/keys",
    "connectors": "/connectors",
    "schemas": "/schemas",
    "edit": "/pipelines/pipe_default_1/edit",
}


def measure(client: httpx.Client, path: str, requests: int, pids: list[int]) -> tuple[list[float], list[float]]:
    """Milliseconds of each request, and of the processor time of these processes per request on average."""
    for _ in range(3):
        answer = client.get(path)
        assert answer.is_success, (path, answer.status_code, answer.text[:300])
    took, before = [], [_processor_s(pid) for pid in pids]
    for _ in range(requests):
        began = time.perf_counter()
        client.get(path)
        took.append((time.perf_counter() - began) * 1000)
    used = [_processor_s(pid) - then for pid, then in zip(pids, before, strict=True)]
    return took, [seconds * 1000 / requests for seconds in used]


def _processor_s(pid: int) -> float:
    """Of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK") + sum(_processor_s(int(child)) for child in children)


def _listening(port: int) -> int:
    """The process of this program's that serves the port."""
    for each in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        if f"--port\0{port}" in Path(f"/proc/{each}/cmdline").read_text():
            return int(each)
    raise RuntimeError(f"nobody of mine listens on {port}")


def _postmaster(folder: Path) -> int:
    return int((folder / "postgres" / "postmaster.pid").read_text().split()[0])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, default=10_000)
    parser.add_argument("--errors", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--only", default="", help="only pages whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root PostgreSQL runs as another user
        with facade(folder, options.pipelines, RATE_LIMIT="0") as (base, key, url):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_FILL.replace("RUN'", f"{RUN}'").replace("ERRORS", str(options.errors)))
                connection.execute("UPDATE headrace.api_keys SET role = 'admin'")
                connection.execute("VACUUM ANALYZE")
            root = base.removesuffix("/api/v1")
            headers = {"Origin": root, "Sec-Fetch-Site": "same-origin"}
            with httpx.Client(base_url=root, headers=headers) as client:
                client.timeout = httpx.Timeout(120)
                assert client.post("/login", data={"key": key}).status_code == 303
                client.headers["Authorization"] = f"Bearer {key}"  # for REST
                print(f"{options.pipelines:,} pipelines per tenant, a run with {options.errors:,} errors")
                pids = [_listening(int(root.rpartition(":")[2])), _postmaster(folder)]
                print(f"{'':32}{'p50':>8}{'p95':>8}{'max':>8}{'facade':>8}{'database':>10}  ms")
                for page, path in ((page, path) for page, path in PAGES.items() if options.only in page):
                    took, (here, there) = measure(client, path, options.requests, pids)
                    cuts = statistics.quantiles(took, n=20)
                    times = f"{cuts[9]:8.1f}{cuts[18]:8.1f}{max(took):8.1f}{here:8.1f}{there:10.1f}"
                    print(f"{page:32}{times}", flush=True)


if __name__ == "__main__":
    main()
