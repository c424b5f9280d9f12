"""How cost grows: one quantity is raised step by step, everything else stays.

Each curve divides what was measured by what was done (rows, cells, runs, requests): a flat line is a cost that grows in
proportion, a falling one has a fixed part, one that rises bends up. All but `pipelines` are whole runs over REST
through Prefect; `--rows` caps the rows of one measurement.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import psutil

from benchmarks.api import facade
from benchmarks.append import document
from benchmarks.datasets import ORDERS, Dataset
from benchmarks.measure import Taken, cpu_of, server_cpu
from benchmarks.orders import RULES, write_orders
from benchmarks.stack import Bench, emptied, stack
from benchmarks.tables import name_of

_KINDS = ("bigint", "double", "text", "date")
_CHUNK_CELLS = 10_000_000
_REQUESTS = 100
"""For each of two kinds."""


@dataclass(frozen=True)
class Point:
    """What one step took in each round; `units` is how much was done."""

    x: float
    units: float
    taken: list[Taken]


@dataclass(frozen=True)
class Curve:
    """`steps(rows, rounds)` measures, with at most so many rows; `per` names the unit that cost is divided by."""

    about: str
    x: str
    per: str
    most: int
    """The rows without a cap."""
    steps: Callable[[int, int], Iterator[Point]]
    explained: str = ""
    """Why it is not flat."""

    def stored(self, rows: int | None, rounds: int) -> dict[str, Any]:
        """Measures; the result as JSON."""
        points = []
        for point in self.steps(min(rows or self.most, self.most), rounds):
            taken = [{name: round(value, 4) for name, value in each._asdict().items()} for each in point.taken]
            points.append({"x": point.x, "units": point.units, "taken": taken})
            print(f"{point.x:>12,.0f} {self.x}: {median(points[-1]):8.2f} s, CPU {cpu(points[-1]):8.2f} s", flush=True)
        return {"curve": {"points": points}}


def median(point: Mapping[str, Any], *quantities: str) -> float:
    """The median over the rounds of a stored point, of the sum of some quantities."""
    sums = [float(sum(each[name] for name in quantities or ("seconds",))) for each in point["taken"]]
    return statistics.median(sums)


def cpu(point: Mapping[str, Any]) -> float:
    """CPU seconds of all processes."""
    return median(point, "client", "server", "beside")


def _rows(most: int, rounds: int) -> Iterator[Point]:
    with _bench() as bench:
        schema = bench.schema(ORDERS.name, [*ORDERS.fields])
        for rows in _up_to(most, (200_000, 600_000, 2_000_000, 6_000_000, 20_000_000)):
            file = bench.state.files_root / f"{rows}.csv"
            write_orders(file, rows)
            pipeline = bench.pipeline(f"rows {rows}", document(ORDERS, file.name), schema)
            yield Point(rows, rows / 1e6, _runs(bench, ORDERS, pipeline, rounds))
            file.unlink()


def _columns(most: int, rounds: int) -> Iterator[Point]:
    cells = most * 5
    with _bench() as bench:
        for columns in (5, 10, 25, 50, 100, 200):
            table = _wide(columns)
            table.write(bench.state.files_root / f"{table.name}.csv", cells // columns)
            schema = bench.schema(table.name, [*table.fields])
            pipeline = bench.pipeline(table.name, document(table, f"{table.name}.csv"), schema)
            yield Point(columns, cells / 1e6, _runs(bench, table, pipeline, rounds))


def _wide(columns: int) -> Dataset:
    kinds = [_KINDS[number % len(_KINDS)] for number in range(columns)]
    fields = [{"name": f"c{number}", "dataType": kind} for number, kind in enumerate(kinds)]

    def write(path: Path, rows: int) -> int:
        numbers, step = np.random.default_rng(3), max(1, _CHUNK_CELLS // columns)
        with path.open("wb") as file:
            for start in range(0, rows, step):
                values = [pl.Series(name, numbers.integers(0, 20_000, min(step, rows - start))) for name in names]
                pl.DataFrame(values).select(map(_written, names, kinds)).write_csv(file, include_header=start == 0)
        return rows

    names = [str(each["name"]) for each in fields]
    return Dataset(f"wide_{columns}", fields, f"{columns} columns", write)


def _written(name: str, kind: str) -> pl.Expr:
    value = pl.col(name)
    if kind == "text":
        return pl.format("text number {}", value).alias(name)
    if kind == "date":
        return value.cast(pl.Int32).cast(pl.Date)
    return value / 7 if kind == "double" else value


def _partitions(most: int, rounds: int) -> Iterator[Point]:
    with _bench() as bench:
        schema = bench.schema(ORDERS.name, [*ORDERS.fields])
        for count in (1, 2, 4, 8, 16, 32, 64):
            folder = bench.state.files_root / f"in_{count}"
            folder.mkdir()
            for number in range(count):
                write_orders(folder / f"{number:03}.csv", most // count, seed=number)
            ir = document(ORDERS, f"{folder.name}/")
            ir["nodes"][0]["config"]["ordering"] = "process_all"
            # at most two partitions for each that runs at a time
            pipeline = bench.pipeline(folder.name, ir, schema, parallelism=max(2, count // 2))
            yield Point(count, most / 1e6, _runs(bench, ORDERS, pipeline, rounds))


def _bad(most: int, rounds: int) -> Iterator[Point]:
    with _bench() as bench:
        schema = bench.schema(ORDERS.name, [*ORDERS.fields])
        for percent in (0, 1, 5, 10, 25, 50):
            file = bench.state.files_root / f"bad_{percent}.csv"
            write_orders(file, most, bad_share=percent / 100)
            pipeline = bench.pipeline(file.stem, document(ORDERS, file.name, rules=RULES), schema)
            yield Point(percent, most / 1e6, _runs(bench, ORDERS, pipeline, rounds))


def _concurrent(most: int, rounds: int) -> Iterator[Point]:
    with _bench() as bench:
        write_orders(bench.state.files_root / "orders.csv", most)
        tables = [Dataset(f"orders_{number}", ORDERS.fields, "", ORDERS.write) for number in range(8)]
        pipelines = []
        for table in tables:
            schema = bench.schema(table.name, [*table.fields])
            pipelines.append(bench.pipeline(table.name, document(table, "orders.csv"), schema))
        bench.run(pipelines[0])
        for count in (1, 2, 4, 8):
            yield Point(count, count, [bench.run(*pipelines[:count]) for _ in range(rounds)])


def _pipelines(most: int, rounds: int) -> Iterator[Point]:
    """Pages of the list and single pipelines, one after the other."""
    for count in _up_to(most, (10, 100, 1_000, 10_000)):
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
            Path(name).chmod(0o755)  # as root PostgreSQL runs as another user
            with facade(Path(name), count) as (base, key, _):
                processes = {each.name(): each for each in psutil.Process().children()}
                server = processes.pop("postgres")
                with httpx.Client(base_url=base, headers={"X-API-Key": key}, timeout=60) as client:
                    _asked(client, count)  # imports, plans of queries
                    asked = [
                        _measured(lambda: _asked(client, count), server, processes.values())  # noqa: B023
                        for _ in range(rounds)
                    ]
                yield Point(count, 2 * _REQUESTS / 1000, asked)


def _asked(client: httpx.Client, count: int) -> None:
    cursor = ""
    for number in range(_REQUESTS):
        page = client.get("/pipelines", params={"cursor": cursor} if cursor else {}).raise_for_status().json()
        cursor = page["pagination"]["cursor"] or ""
        client.get(f"/pipelines/pipe_default_{number * 7919 % count + 1}").raise_for_status()


def _measured(work: Callable[[], None], server: psutil.Process, facades: Iterable[psutil.Process]) -> Taken:
    facades = [*facades]
    before, began = (server_cpu(server.pid), cpu_of(facades)), time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return Taken(seconds, cpu_of(facades) - before[1], server_cpu(server.pid) - before[0], 0.0)


@contextmanager
def _bench() -> Iterator[Bench]:
    """A client of a stack of its own."""
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, stack(Path(folder)) as state:
        yield Bench(state)


def _runs(bench: Bench, table: Dataset, pipeline: str, rounds: int) -> list[Taken]:
    taken = []
    for _ in range(rounds):
        emptied(bench.state, name_of(table))
        taken.append(bench.run(pipeline))
    return taken


def _up_to(most: int, steps: Iterable[int]) -> list[int]:
    """The steps up to `most`, which is the last one."""
    return [*(each for each in steps if each < most), most]


CURVES: Mapping[str, Curve] = {
    "rows": Curve(
        "One file of `orders` with more and more rows.",
        "rows",
        "million rows",
        20_000_000,
        _rows,
        "The fixed cost of a run (planning, states in Prefect, a process) is spread over more rows.",
    ),
    "columns": Curve(
        "One file of integers, fractions, text and dates with more and more columns, and as many fewer rows: "
        "the number of cells stays.",
        "columns",
        "million cells",
        1_000_000,
        _columns,
        "With few columns the cost of each row counts, with many that of each cell; what is done once per column and "
        "batch stays small.",
    ),
    "partitions": Curve(
        "The same number of rows of `orders` in more and more files, each of them a partition, half of them at a time.",
        "partitions",
        "million rows",
        640_000,
        _partitions,
        "Each partition is a task in Prefect, with its states, a connection and its commits.",
    ),
    "bad_rows": Curve(
        "One file of `orders`, of which more and more rows are refused by a rule.",
        "% bad rows",
        "million rows",
        1_000_000,
        _bad,
        "A refused row is recorded with its cell, its value and the error, instead of being loaded.",
    ),
    "pipelines": Curve(
        "Pages of the list and single pipelines over REST, with more and more pipelines in the catalog.",
        "pipelines",
        "thousand requests",
        10_000,
        _pipelines,
        "A page has at most 20 pipelines, so a list of 10 is a page of 10.",
    ),
    "runs": Curve(
        "More and more runs at the same time, each of the same file into a table of its own.",
        "runs at the same time",
        "run",
        200_000,
        _concurrent,
        "Runs share the cores: two of them use what one leaves idle, and more wait for each other.",
    ),
}
