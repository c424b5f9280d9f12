"""How much longer a run takes when its file lies elsewhere: local, S3 and SFTP.

    python -m benchmarks.stores [ROWS [ROUNDS [aws_s3|sftp]]]

For each place: `wall` seconds, `cpu` seconds of the run's process, `server` those of the process with the servers
(moto, asyncssh), `postgresql` those of the embedded PostgreSQL. `by` a client: the same file, fetched into a file and
not read (`benchmarks.fetches`), how fast these servers are on this machine. The last line compares the rounds with the
best walls.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.fetches import FILE, Place, clients
from benchmarks.measure import SESSIONS_END_S, server_cpu
from benchmarks.orders import COLUMNS, write_orders
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_ROWS = 2_000_000
PASSWORD = "the password of the account"
"""As the SFTP server of the tests has it."""


def serve(pipe: Pipe, path: str) -> None:
    """Both servers, each with the file, until the pipe ends."""
    from tests.connectors.stores.ssh_server import SshServer
    from tests.object_store import BUCKET, ObjectStore

    objects, files = ObjectStore(), SshServer()
    with Path(path).open("rb") as content:
        objects.client.upload_fileobj(content, BUCKET, FILE)
    (files.folder("bench") / FILE).hardlink_to(path)
    login = files.login_key.export_private_key("openssh").decode()
    pipe.send((objects.environment["AWS_ENDPOINT_URL"], files.port, files.key.get_fingerprint(), login))
    with suppress(EOFError):
        while pipe.recv():
            pipe.send(time.process_time())
    files.close()


def load(pipe: Pipe, root: str, url: str, place: Place) -> None:
    """One run, in a process that has done nothing else."""
    from tests.flows.runtime.runs import Runner

    names = {"aws_s3": "s3"}
    nodes: list[dict[str, Any]] = [
        {
            "id": "src",
            "kind": "source",
            "connector": names.get(place.kind, place.kind),
            "config": {"path": FILE},
            "fields": [{"name": name, "dataType": data_type} for name, data_type in COLUMNS.items()],
        },
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_orders"},
    ]
    runner = Runner(Path(root), url, place.credentials, type=place.kind, config=place.config)
    before, began = cpu_seconds(), time.perf_counter()
    totals = runner.run(nodes)
    wall, cpu = time.perf_counter() - began, cpu_seconds() - before
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    pipe.send({"cpu": round(cpu, 2), "wall": round(wall, 2), "rows": totals.rows_out, "mib": mib})


def fetch(pipe: Pipe, folder: str, place: Place, client: str) -> None:
    """The file, fetched by one client and not read."""
    into, fetched = Path(folder) / "fetched.csv", clients(place.kind)[client]
    before, began = cpu_seconds(), time.perf_counter()
    fetched(place, into)
    wall, cpu = time.perf_counter() - began, cpu_seconds() - before
    into.unlink()
    pipe.send({"cpu": round(cpu, 2), "wall": round(wall, 2)})


def cpu_seconds() -> float:
    """Of this process and of those that it has started and that have ended."""
    own, started = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + started.ru_utime + started.ru_stime


def empty_table(url: str) -> None:
    """Makes the target anew."""
    columns = ", ".join(
        f'"{name}" {"double precision" if kind == "double" else kind.replace("decimal", "numeric")}'
        for name, kind in COLUMNS.items()
    )
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS public.ds_orders")
        connection.execute(f"CREATE TABLE public.ds_orders ({columns})")


def compared(best: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """For each place with a server, the local run as a share of this one: by wall seconds; by CPU seconds, which is the
    share of two runs that keep all cores busy, with the server on the same cores and without; and the wall seconds of
    the fastest fetch and then the local run as a share of this one's."""
    local = best["local_fs"]
    found = {}
    for place, run in best.items():
        fetched = min((one["wall"] for name, one in best.items() if name.startswith(f"{place} by ")), default=None)
        if fetched is None:
            continue
        busy = local["cpu"] + local["postgresql"]
        found[place] = {
            "of local": round(local["wall"] / run["wall"], 2),
            "of local, by CPU": round(busy / (run["cpu"] + run["postgresql"] + run["server"]), 2),
            "of local, by CPU without the server's": round(busy / (run["cpu"] + run["postgresql"]), 2),
            "of fastest fetch, then local": round((fetched + local["wall"]) / run["wall"], 2),
        }
    return found


def main() -> None:
    """Prints a line for each place and round, and then how the places compare; of one place only where it is named."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
    named = {"local_fs", *(sys.argv[3:] or ("aws_s3", "sftp"))}
    spawn = multiprocessing.get_context("spawn")

    def apart(work: Callable[..., None], *given: Any) -> tuple[Any, Pipe]:
        here, there = spawn.Pipe()
        process = spawn.Process(target=work, args=(there, *given), daemon=True)
        process.start()
        there.close()
        return process, here

    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        path = Path(folder) / "files" / FILE
        path.parent.mkdir()
        write_orders(path, rows)
        server = EmbeddedPostgres(Path(folder) / "postgres", Path(folder) / "postgresql.log", DISPOSABLE)
        Path(folder).chmod(0o755)
        server.start()
        servers, ready = apart(serve, str(path))
        endpoint, port, key, login = ready.recv()
        s3 = {"bucket": "rows", "region": "us-east-1", "endpoint": endpoint}
        sftp = {"host": "127.0.0.1", "port": port, "hostKey": key}
        places = [
            Place("local_fs", {}, {}),
            Place("aws_s3", s3, {"accessKeyId": "headrace", "secretAccessKey": "a secret that no log may hold"}),
            Place("sftp", sftp, {"username": "bench", "password": PASSWORD}, login),
        ]
        places = [place for place in places if place.kind in named]
        best: dict[str, dict[str, float]] = {}

        def server_seconds() -> float:
            ready.send(True)
            found: float = ready.recv()
            return found

        def measured(name: str, work: Callable[..., None], *given: Any) -> None:
            before, database = server_seconds(), server_cpu(server.pid)
            process, answer = apart(work, *given)
            found = answer.recv()
            process.join()
            time.sleep(SESSIONS_END_S)
            found |= {
                "server": round(server_seconds() - before, 2),
                "postgresql": round(server_cpu(server.pid) - database, 2),
            }
            if name not in best or found["wall"] < best[name]["wall"]:
                best[name] = found
            print(json.dumps({"place": name, **found}), flush=True)

        try:
            for _ in range(rounds):
                for place in places:
                    url = server.url("postgres")
                    empty_table(url)
                    measured(place.kind, load, str(path.parent), url, place)
                for place in places[1:]:
                    for client in clients(place.kind):
                        measured(f"{place.kind} by {client}", fetch, folder, place, client)
            print(json.dumps(compared(best)))
        finally:
            ready.close()
            servers.terminate()
            server.stop()


if __name__ == "__main__":
    main()
