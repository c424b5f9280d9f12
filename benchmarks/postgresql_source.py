"""The cost of reading a table of PostgreSQL: CPU seconds of the client, ours and psql's, and the memory that ours
needs.

    python -m benchmarks.postgresql_source [ROWS]

Ours gives typed frames; psql copies the same columns to /dev/null. Rounds in turns, on the embedded PostgreSQL.
"""

from __future__ import annotations

import multiprocessing
import resource
import socket
import subprocess
import sys
import tempfile
import time
from ipaddress import ip_network
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

import psycopg

from headrace.deployments.stack.database.installation import find_binaries
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres

_ROWS, _ROUNDS = 500_000, 3
_COLUMNS = "id, customer, kind, amount, ratio, paid, day, at, name, note"
_TABLE = """
CREATE TABLE orders AS SELECT i AS id, (i * 7919 % 100000)::int AS customer, (i % 500)::smallint AS kind,
  ((i * 13 % 1000000) / 100.0)::numeric(12,2) AS amount, (i * 0.37)::float8 AS ratio, i % 3 = 0 AS paid,
  date '2020-01-01' + (i % 1500)::int AS day, timestamptz '2024-01-01' + i * interval '1.234567 s' AS at,
  'customer name ' || i AS name, CASE WHEN i % 5 > 0 THEN 'a note, with "quotes" and text ' || i END AS note
FROM generate_series(1::bigint, {rows}) i;
ALTER TABLE orders ADD PRIMARY KEY (id);
ANALYZE orders;
"""


def read(pipe: Pipe, port: int) -> None:
    """Reads the table once, in a process that has done nothing else."""
    from headrace.connectors.connector import Connection, Context, Surroundings
    from headrace.connectors.files.paths import FilesRoot
    from headrace.connectors.sql.postgresql.connector import POSTGRESQL

    config = {"host": "127.0.0.1", "port": port, "database": "postgres"}
    connection = Connection("conn_1", "postgresql", config, {"username": "reader", "password": "x"})
    surroundings = Surroundings(FilesRoot(Path("/nowhere")), [ip_network("127.0.0.0/8")])
    source = POSTGRESQL.source(Context(connection, surroundings, {"table": "public.orders"}))
    found = source.discover(max_partitions=1)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    rows = sum(batch.rows for batch in source.read(found.partitions[0], found.schema))
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pipe.send((cpu, wall, rows, (after.ru_maxrss - before.ru_maxrss) // 1024))


def psql(url: str) -> tuple[float, float]:
    """CPU and wall seconds of psql."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    statement = f"COPY (SELECT {_COLUMNS} FROM orders ORDER BY id) TO STDOUT"
    subprocess.run([str(find_binaries() / "psql"), url, "-qc", statement], stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    """Prints a line for each round."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else _ROWS
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        Path(folder).chmod(0o755)
        hba = Path(folder, "hba.conf")
        hba.write_text("local all all trust\nhost all reader 127.0.0.1/32 trust\n")
        over_tcp = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(hba)}
        server = EmbeddedPostgres(Path(folder, "postgres"), Path(folder, "log"), {**DISPOSABLE, **over_tcp})
        server.start()
        try:
            url = f"{server.url('postgres')}&port={port}"
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_TABLE.format(rows=rows).encode())
                connection.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON orders TO reader")
            for _ in range(_ROUNDS):
                here, there = spawn.Pipe()
                child: Any = spawn.Process(target=read, args=(there, port), daemon=True)
                child.start()
                ours: tuple[float, float, int, int] = here.recv()
                child.join()
                theirs = psql(url)
                print(
                    f"{ours[2]:,} rows: {ours[0]:.2f} s of CPU, {ours[1]:.2f} s, +{ours[3]} MiB; "
                    f"psql {theirs[0]:.2f} s of CPU, {theirs[1]:.2f} s"
                )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
