"""The additional cost of a run whose file is not local: CPU seconds of the run's process, local, S3 and SFTP.

    python -m benchmarks.stores [ROWS]

The servers (moto, asyncssh) run in a process of their own, whose CPU is not counted; PostgreSQL is the embedded one.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.orders import COLUMNS, write_orders
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_ROWS = 2_000_000


def serve(pipe: Pipe, path: str) -> None:
    """Both servers, each with the file, until the pipe ends."""
    from tests.connectors.stores.ssh_server import SshServer
    from tests.object_store import BUCKET, ObjectStore

    objects, files = ObjectStore(), SshServer()
    with Path(path).open("rb") as content:
        objects.client.upload_fileobj(content, BUCKET, "orders.csv")
    (files.folder("bench") / "orders.csv").hardlink_to(path)
    pipe.send((objects.environment["AWS_ENDPOINT_URL"], files.port, files.key.get_fingerprint()))
    with suppress(EOFError):
        pipe.recv()
    files.close()


def load(pipe: Pipe, root: str, url: str, kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> None:
    """One run, in a process that has done nothing else."""
    from tests.flows.runtime.runs import Runner

    names = {"aws_s3": "s3"}
    nodes = [
        {
            "id": "src",
            "kind": "source",
            "connector": names.get(kind, kind),
            "config": {"path": "orders.csv"},
            "fields": [{"name": name, "dataType": data_type} for name, data_type in COLUMNS.items()],
        },
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_orders"},
    ]
    runner = Runner(Path(root), url, credentials, type=kind, config=config)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    totals = runner.run(nodes)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pipe.send({"cpu": round(cpu, 2), "wall": round(wall, 2), "rows": totals.rows_out, "mib": after.ru_maxrss // 1024})


def main() -> None:
    """Prints a line for each place and round."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    spawn = multiprocessing.get_context("spawn")

    def apart(work: Callable[..., None], *given: Any) -> tuple[Any, Pipe]:
        here, there = spawn.Pipe()
        process = spawn.Process(target=work, args=(there, *given), daemon=True)
        process.start()
        there.close()
        return process, here

    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        path = Path(folder) / "files" / "orders.csv"
        path.parent.mkdir()
        write_orders(path, rows)
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "postgresql.log", DISPOSABLE)
        Path(folder).chmod(0o755)
        server.start()
        servers, ready = apart(serve, str(path))
        endpoint, port, key = ready.recv()
        s3 = {"bucket": "rows", "region": "us-east-1", "endpoint": endpoint}
        places: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
            ("local_fs", {}, {}),
            ("aws_s3", s3, {"accessKeyId": "headrace", "secretAccessKey": "a secret that no log may hold"}),
            (
                "sftp",
                {"host": "127.0.0.1", "port": port, "hostKey": key},
                {"username": "bench", "password": "the password of the account"},
            ),
        ]
        try:
            for _ in range(2):
                for kind, config, credentials in places:
                    url = server.url("postgres")
                    with psycopg.connect(url) as connection:
                        columns = ", ".join(
                            f'"{name}" {"double precision" if kind == "double" else kind.replace("decimal", "numeric")}'
                            for name, kind in COLUMNS.items()
                        )
                        connection.execute("DROP TABLE IF EXISTS public.ds_orders")
                        connection.execute(f"CREATE TABLE public.ds_orders ({columns})")  # type: ignore[arg-type]
                    process, answer = apart(load, str(path.parent), url, kind, config, credentials)
                    print(json.dumps({"place": kind, **answer.recv()}), flush=True)
                    process.join()
        finally:
            ready.close()
            servers.terminate()
            server.stop()


if __name__ == "__main__":
    main()
