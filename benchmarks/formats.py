"""The same orders in several formats and from S3, against the best of a few plain tools; the table has no index.

Plain tools: `psql \\copy` where it can read the format, alone or behind `gzip -dc`; a script with polars; DuckDB that
writes CSV into psql. From S3 (an emulator in one process on this machine): a download by boto3 and then `psql \\copy`,
and a download and then the script with polars.
"""

from __future__ import annotations

import multiprocessing
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from benchmarks.append import Loads, document
from benchmarks.comparison import Comparison, Way
from benchmarks.datasets import ORDERS
from benchmarks.plain import command
from benchmarks.stack import Bench, stack
from benchmarks.stores import serve
from headrace.deployments.stack.database.installation import find_binaries

FORMATS: tuple[str, ...] = ("csv", "csv.gz", "parquet", "jsonl", "s3")
_BUCKET, _KEY, _SECRET = "rows", "headrace", "a secret that no log may hold"
_LOCAL = {"HEADRACE_CONNECTOR_NETWORKS": '["127.0.0.0/8"]'}
_FETCH = """
import boto3, sys
endpoint, bucket, key, secret, into = sys.argv[1:]
client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=key,
                      aws_secret_access_key=secret)
client.download_file(bucket, "orders.csv", into)
"""


def formats(name: str, rows: int, rounds: int) -> Iterator[Comparison]:
    """The comparison of one format."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, stack(Path(folder), **_LOCAL) as state:
        csv = state.files_root / "orders.csv"
        ORDERS.write(csv, rows)
        bench = Bench(state)
        schema = bench.schema(ORDERS.name, [*ORDERS.fields])
        loads = Loads(bench, ORDERS, "no index", rows)
        if name == "s3":
            with store(csv) as endpoint:
                settings = {
                    "config": {"bucket": _BUCKET, "region": "us-east-1", "endpoint": endpoint},
                    "authConfig": {"accessKeyId": _KEY, "secretAccessKey": _SECRET},
                    "authMethod": "access_key",
                }
                connector = bench.connector("store", "aws_s3", **settings)
                ir = document(ORDERS, csv.name, connector="s3")
                ours = loads.run("headrace", bench.pipeline(name, ir, schema, connector))
                ways = [*_from_s3(loads, endpoint, Path(folder)), ours]
                yield Comparison.of("orders as CSV in S3", rows, csv.stat().st_size, ways, rounds)
            return
        file = csv.with_name(f"orders.{name}")
        _CONVERT[name](csv, file)
        ours = loads.run("headrace", bench.pipeline(name, document(ORDERS, file.name), schema))
        yield Comparison.of(f"orders as {name}", rows, file.stat().st_size, [*_plain(loads, name, file), ours], rounds)


def _plain(loads: Loads, name: str, file: Path) -> list[Way]:
    scripts = [
        loads.command("polars script", command("polars", name, file, loads.url, ORDERS)),
        loads.command("duckdb | psql", command("duckdb", name, file, loads.url, ORDERS)),
    ]
    if name == "csv":
        return [loads.psql(file), *scripts]
    if name == "csv.gz":
        unpacked = f"gzip -dc {shlex.quote(str(file))} | {_psql(loads)}"
        return [loads.command("gzip -dc | psql", ["bash", "-o", "pipefail", "-c", unpacked]), *scripts]
    return scripts


def _psql(loads: Loads, given: str = "STDIN") -> str:
    copy = f"\\copy public.ds_orders ({', '.join(ORDERS.names)}) from {given} with (format csv, header)"
    return shlex.join([str(find_binaries() / "psql"), loads.url, "-qc", copy])


def _from_s3(loads: Loads, endpoint: str, folder: Path) -> list[Way]:
    into = folder / "fetched.csv"
    fetch = shlex.join([sys.executable, "-c", _FETCH, endpoint, _BUCKET, _KEY, _SECRET, str(into)])
    script = shlex.join(command("polars", "csv", into, loads.url, ORDERS))
    return [
        loads.command("boto3, then psql \\copy", ["bash", "-c", f"{fetch} && {_psql(loads, shlex.quote(str(into)))}"]),
        loads.command("boto3, then polars script", ["bash", "-c", f"{fetch} && {script}"]),
    ]


@contextmanager
def store(file: Path) -> Iterator[str]:
    """The emulator's address, with the file in it as orders.csv."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=serve, args=(there, str(file)), daemon=True)
    process.start()
    there.close()
    try:
        yield str(here.recv()[0])
    finally:
        here.close()
        process.terminate()
        process.join()


def _same(csv: Path, file: Path) -> None:
    assert csv == file


def _gzip(csv: Path, file: Path) -> None:
    with file.open("wb") as out:
        subprocess.run(["gzip", "-c", "-6", csv], stdout=out, check=True)


def _typed(csv: Path) -> pl.LazyFrame:
    stamp = pl.col("created").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    read = pl.scan_csv(csv, schema_overrides={"amount": pl.String, "birthday": pl.String})
    return read.with_columns(
        stamp,
        pl.col("amount").cast(pl.Decimal(12, 2)),
        pl.col("birthday").str.to_date(),
        pl.col("customer").cast(pl.Int32),
        pl.col("quantity").cast(pl.Int16),
    )


def _parquet(csv: Path, file: Path) -> None:
    _typed(csv).sink_parquet(file, row_group_size=200_000)


def _jsonl(csv: Path, file: Path) -> None:
    pl.scan_csv(csv).sink_ndjson(file)


_CONVERT: dict[str, Callable[[Path, Path], None]] = {
    "csv": _same,
    "csv.gz": _gzip,
    "parquet": _parquet,
    "jsonl": _jsonl,
}
