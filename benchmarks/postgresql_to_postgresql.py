"""PostgreSQL to PostgreSQL: whole runs, against `psql -c "COPY … TO STDOUT" | psql -c "COPY … FROM STDIN"`.

    python -m benchmarks.postgresql_to_postgresql [--rows 2000000] [--rounds 3] [--table orders|lineitem]
        [--dlt PYTHON] [--sling PROGRAM]

One server, two databases, the same definition of the table in both, with its primary key. All variants of a round run
one after the other. Prints the median seconds, rows/s, the ratio to psql, CPU seconds of the clients and of the server,
and the peak memory of the client. `--dlt` is the Python of an environment with dlt, `--sling` Sling's program.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.comparison import Comparison, Way
from benchmarks.database_copies import Copies, dlt, headrace, psql, sling
from benchmarks.measure import Taken
from benchmarks.postgresql_tables import TABLES
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database

Peer = Callable[[Copies], Taken]

ONE_OP = ({"type": "expression", "field": "twice", "expression": "{number} * 2"},)


@contextmanager
def copies(table: str, rows: int) -> Iterator[Copies]:
    """A server with the table in the database `source`, and an empty one of the same definition in `target`."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        Path(folder).chmod(0o755)
        port = 20_000 + os.getpid() % 20_000
        hba = Path(folder, "hba.conf")
        hba.write_text("local all all trust\nhost all all 127.0.0.1/32 trust\n")
        over_tcp = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(hba)}
        server = EmbeddedPostgres(Path(folder, "postgres"), Path(folder, "log"), over_tcp)
        server.start()
        try:
            made = Copies(server, port, table, TABLES[table], rows)
            for database in ("source", "target"):
                ensure_database(f"{server.url('postgres')}&port={port}", database)
                made.tell(database, TABLES[table].definition)
            made.tell("source", TABLES[table].rows.format(rows=rows), f"VACUUM ANALYZE {table}")
            yield made
        finally:
            server.stop()


def table_to_table(table: str, rows: int, rounds: int, peers: Mapping[str, Peer] | None = None) -> Iterator[Comparison]:
    """The comparison of one table; `peers` are other tools, by name."""
    with copies(table, rows) as made:
        number = TABLES[table].number
        one_op = [{**op, "expression": op["expression"].format(number=number)} for op in ONE_OP]

        def way(name: str, load: Peer, *, plain: bool = False) -> Way:
            def once() -> Taken:
                made.empty()
                taken = load(made)
                made.check()
                return taken

            return Way(name, once, plain)

        ways = [
            way("psql | psql", psql, plain=True),
            way("headrace", lambda made: headrace(made, ())),
            way("headrace, one op", lambda made: headrace(made, one_op)),
            *(way(name, load) for name, load in (peers or {}).items()),
        ]
        yield Comparison.of(f"{table}, PostgreSQL to PostgreSQL, primary key", rows, 0, ways, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", choices=sorted(TABLES), default="orders")
    parser.add_argument("--dlt", metavar="PYTHON")
    parser.add_argument("--sling", metavar="PROGRAM")
    given = parser.parse_args()
    peers: dict[str, Peer] = {}
    if given.dlt:
        peers["dlt"] = lambda made: dlt(made, given.dlt)
    if given.sling:
        peers["sling"] = lambda made: sling(made, given.sling)
    for _ in table_to_table(given.table, given.rows, given.rounds, peers):
        pass


if __name__ == "__main__":
    main()
