"""How much longer a run takes when its file lies elsewhere: local, S3 and SFTP.

    python -m benchmarks.stores [ROWS [ROUNDS]]

For each place: `wall` seconds, `cpu` seconds of the run's process, `server` CPU seconds of the process with the servers
(moto, asyncssh). `download` is the same file, fetched by boto3 or asyncssh alone into a file: how fast these servers
are on this machine. PostgreSQL is the embedded one. The last line compares the best walls of all rounds.
"""

from __future__ import annotations

import asyncio
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
        objects.client.upload_fileobj(content, BUCKET, "orders.csv")
    (files.folder("bench") / "orders.csv").hardlink_to(path)
    pipe.send((objects.environment["AWS_ENDPOINT_URL"], files.port, files.key.get_fingerprint()))
    with suppress(EOFError):
        while pipe.recv():
            pipe.send(time.process_time())
    files.close()


def load(pipe: Pipe, root: str, url: str, kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> None:
    """One run, in a process that has done nothing else."""
    from tests.flows.runtime.runs import Runner

    names = {"aws_s3": "s3"}
    nodes: list[dict[str, Any]] = [
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


def download(pipe: Pipe, folder: str, kind: str, config: dict[str, Any], credentials: dict[str, Any]) -> None:
    """The file, fetched by boto3 or asyncssh as they do it when nothing is said."""
    import asyncssh
    import boto3

    into = f"{folder}/fetched.csv"

    async def over_ssh() -> None:
        login = {"port": config["port"], "config": None, "known_hosts": None, **credentials}
        async with asyncssh.connect(config["host"], **login) as connection, connection.start_sftp_client() as client:
            await client.get("orders.csv", into)

    before, began = time.process_time(), time.perf_counter()
    if kind == "sftp":
        asyncio.run(over_ssh())
    else:
        key, secret = credentials["accessKeyId"], credentials["secretAccessKey"]
        place = {"endpoint_url": config["endpoint"], "region_name": config["region"]}
        client = boto3.client("s3", aws_access_key_id=key, aws_secret_access_key=secret, **place)
        client.download_file(config["bucket"], "orders.csv", into)
    wall = time.perf_counter() - began
    Path(into).unlink()
    pipe.send({"cpu": round(time.process_time() - before, 2), "wall": round(wall, 2)})


def compared(best: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """For each place, the time of the local run as a share of this one's, and that of a plain download and then a local
    run."""
    local = best["local_fs"]
    places = [place for place in best if f"{place} download" in best]
    return {
        place: {
            "of local": round(local / best[place], 2),
            "of download, then local": round((best[f"{place} download"] + local) / best[place], 2),
        }
        for place in places
    }


def main() -> None:
    """Prints a line for each place and round, and then how the places compare."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 2
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
                {"username": "bench", "password": PASSWORD},
            ),
        ]
        best: dict[str, float] = {}

        def measured(place: str, work: Callable[..., None], *given: Any) -> None:
            ready.send(True)
            before = ready.recv()
            process, answer = apart(work, *given)
            found = answer.recv()
            process.join()
            ready.send(True)
            found["server"] = round(ready.recv() - before, 2)
            best[place] = min(found["wall"], best.get(place, found["wall"]))
            print(json.dumps({"place": place, **found}), flush=True)

        try:
            for _ in range(rounds):
                for kind, config, credentials in places:
                    url = server.url("postgres")
                    with psycopg.connect(url) as connection:
                        columns = ", ".join(
                            f'"{name}" {"double precision" if kind == "double" else kind.replace("decimal", "numeric")}'
                            for name, kind in COLUMNS.items()
                        )
                        connection.execute("DROP TABLE IF EXISTS public.ds_orders")
                        connection.execute(f"CREATE TABLE public.ds_orders ({columns})")
                    measured(kind, load, str(path.parent), url, kind, config, credentials)
                for place in places[1:]:
                    measured(f"{place[0]} download", download, folder, *place)
            print(json.dumps(compared(best)))
        finally:
            ready.close()
            servers.terminate()
            server.stop()


if __name__ == "__main__":
    main()
