"""dlt and Sling, installed into environments of their own, beside Headrace and psql: a CSV file into PostgreSQL, and a
table to another database.

dlt has its fastest settings: Arrow, Parquet, ADBC. It and Sling create their tables themselves, with their types and
without an index; Headrace and psql load a table without one. Headrace runs without Prefect here, in a process of its
own, as they do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.comparison import Comparison, Way
from benchmarks.database_copies import dlt, sling
from benchmarks.datasets import DATASETS, Dataset
from benchmarks.environments import installed, python
from benchmarks.measure import Taken, measured
from benchmarks.postgresql_to_postgresql import copies, table_to_table
from benchmarks.tables import count, definition, name_of
from headrace.deployments.stack.database.installation import find_binaries

DLT = (
    "dlt[parquet,postgres,sql_database]==1.31.0",
    "adbc-driver-manager==1.13.0",
    "adbc-driver-postgresql==1.13.0",
    "psycopg2-binary==2.9.13",
    "pyarrow==26.0.1",
)
SLING = ("sling-linux-amd64==1.4.11",)

Command = Callable[[str], list[str]]
"""A command, for a folder of its own."""

_DLT_FILE = """
import sys, dlt, pyarrow.csv as csv
path, target, table, null, folder = sys.argv[1:]
parsed = csv.ParseOptions(newlines_in_values=True)
typed = csv.ConvertOptions(null_values=[null], strings_can_be_null=True)
batches = lambda: csv.open_csv(path, csv.ReadOptions(block_size=16 << 20), parsed, typed)
pipeline = dlt.pipeline("file", pipelines_dir=folder, destination=dlt.destinations.postgres(target),
                        dataset_name="public")
pipeline.run(dlt.resource(batches, name=table), write_disposition="append", loader_file_format="parquet")
"""


def peers(name: str, rows: int, rounds: int) -> Iterator[Comparison]:
    """Both comparisons of one dataset, for `orders` and `lineitem`. Raises NotInstalledError."""
    dlt_python, sling_program = _programs()
    yield from _files(DATASETS[name], rows, rounds, dlt_python, sling_program)
    yield from table_to_table(
        name,
        rows,
        rounds,
        {
            f"dlt {installed(dlt_python, 'dlt')}": lambda made: dlt(made, str(dlt_python)),
            f"Sling {_sling_version()}": lambda made: sling(made, str(sling_program)),
        },
    )


def _files(dataset: Dataset, rows: int, rounds: int, dlt_python: Path, sling_program: Path) -> Iterator[Comparison]:
    with copies("orders", 1) as made, tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        file = Path(folder, f"{dataset.name}.csv")
        rows = dataset.write(file, rows)
        table = name_of(dataset)
        made.tell("target", "CREATE SCHEMA IF NOT EXISTS public")

        def way(
            name: str, command: Callable[[str], list[str]], *, own_table: bool = False, ours: bool = False, **env: str
        ) -> Way:
            def work() -> float:
                with tempfile.TemporaryDirectory() as own:
                    began = time.perf_counter()
                    done = subprocess.run(command(own), check=True, env={**os.environ, **env}, capture_output=True)
                    return float(done.stdout) if ours else time.perf_counter() - began

            def once() -> Taken:
                made.tell("target", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "CHECKPOINT")
                if not own_table:
                    made.tell("target", definition(dataset, "no index"))
                taken = measured(made.server.pid, work)
                if (found := count(made.url("target"), dataset)) != rows:
                    raise SystemExit(f"{name} has loaded {found:,} of {rows:,} rows")
                return taken

            return Way(name, once, plain=name.startswith("psql"))

        options = f"format csv, header, null '{dataset.null}'"
        copy = f"\\copy {table} ({', '.join(dataset.names)}) from '{file}' with ({options})"
        target = {"type": "postgres", "url": f"{made.over_tcp('target')}?sslmode=disable"}
        sling_run = [str(sling_program), "run", "--src-stream", f"file://{file}", "--tgt-conn", "TARGET"]
        dlt_given = [str(file), made.over_tcp("target"), table.partition(".")[2], dataset.null]
        run = [sys.executable, "-m", "benchmarks.in_process", str(file), made.url("target"), dataset.name]
        ways = [
            way("psql \\copy", lambda _: [str(find_binaries() / "psql"), made.url("target"), "-qc", copy]),
            way("headrace, without Prefect", lambda _: run, ours=True),
            way(
                f"dlt {installed(dlt_python, 'dlt')}",
                lambda own: [str(dlt_python), "-c", _DLT_FILE, *dlt_given, own],
                own_table=True,
                RUNTIME__DLTHUB_TELEMETRY="false",
                DATA_WRITER__FILE_MAX_ITEMS="500000",
            ),
            way(
                f"Sling {_sling_version()}",
                lambda _: [*sling_run, "--tgt-object", table, "--mode", "full-refresh"],
                own_table=True,
                TARGET=json.dumps(target),
                SLING_DISABLE_TELEMETRY="true",
            ),
        ]
        yield Comparison.of(f"{dataset.name} with peers", rows, file.stat().st_size, ways, rounds)


def _programs() -> tuple[Path, Path]:
    dlt_python, sling_python = python("dlt", DLT), python("sling", SLING)
    [folder] = sling_python.parents[1].glob("lib/python*/site-packages/sling_linux_amd64/bin")
    program = folder / "sling-linux-amd64"
    program.chmod(0o755)
    return dlt_python, program


def _sling_version() -> str:
    return SLING[0].partition("==")[2]
