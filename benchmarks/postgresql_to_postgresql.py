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
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.database_copies import Copies, Taken, dlt, headrace, psql, sling
from benchmarks.postgresql_tables import TABLES
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", choices=sorted(TABLES), default="orders")
    parser.add_argument("--dlt", metavar="PYTHON")
    parser.add_argument("--sling", metavar="PROGRAM")
    given = parser.parse_args()
    with copies(given.table, given.rows) as made:
        number = TABLES[given.table].number
        one_op = [{**op, "expression": op["expression"].format(number=number)} for op in ONE_OP]
        variants: dict[str, Callable[[], Taken]] = {
            "psql | psql": lambda: psql(made),
            "headrace": lambda: headrace(made, ()),
            "headrace, one op": lambda: headrace(made, one_op),
        }
        if given.dlt:
            variants["dlt"] = lambda: dlt(made, given.dlt)
        if given.sling:
            variants["sling"] = lambda: sling(made, given.sling)
        taken: dict[str, list[Taken]] = {name: [] for name in variants}
        for _ in range(given.rounds):
            for name, variant in variants.items():
                made.empty()
                taken[name].append(variant())
                made.check()
        print(f"{given.rows:,} rows of {given.table}, median of {given.rounds}")
        base = statistics.median(each.seconds for each in taken["psql | psql"])
        for name, found in taken.items():
            seconds = statistics.median(each.seconds for each in found)
            client = statistics.median(each.client for each in found)
            served = statistics.median(each.server for each in found)
            print(
                f"{name:17} {seconds:6.2f} s {given.rows / seconds:10,.0f} rows/s {base / seconds:5.2f} x psql; "
                f"CPU {client:5.2f} + {served:5.2f} s; {max(each.memory for each in found):4.0f} MB"
            )


if __name__ == "__main__":
    main()
