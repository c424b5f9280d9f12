"""Append: whole runs over REST through Prefect, against `psql \\copy` of the same file into the same table.

Each file into each kind of table; orders also with ops, with rules, and with 1 % of rows that a rule refuses. Every
load goes into a table that has just been created. In the first round the contents are compared too. A script that only
parses with polars and sends what pgpq encodes shows what is left to gain.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.comparison import Comparison, Way
from benchmarks.datasets import DATASETS, ORDERS, Dataset, Table, write_bad_orders
from benchmarks.measure import Taken, measured
from benchmarks.orders import RULES
from benchmarks.plain import command
from benchmarks.stack import Bench, stack
from headrace.deployments.stack.database.installation import find_binaries
from headrace.deployments.stack.state import StackState

PSQL = "psql \\copy"
OPS: list[dict[str, Any]] = [
    {"type": "trim", "fields": ["city"]},
    {"type": "expression", "field": "price", "expression": "price * 1.19"},
    {"type": "expression", "field": "email", "expression": "lower(email)"},
]
"""They replace values, so that the table is the same with and without them."""


class Loads:
    """Ways to load the same rows into one kind of table. What the first of them has loaded, all others must load too;
    without `rows` that is also how many they are."""

    def __init__(self, bench: Bench, table: Table, kind: str, rows: int | None = None) -> None:
        self.bench, self.table, self.kind, self.rows = bench, table, kind, rows
        self.url = bench.state.database_url
        self._content: Any = None
        self._compared: set[str] = set()

    def psql(self, file: Path, null: str = "") -> Way:
        """`\\copy` of the file."""
        options = f"format csv, header, null '{null}'"
        copy = f"\\copy {tables.name_of(self.table)} ({', '.join(self.table.names)}) from '{file}' with ({options})"
        return self.command(PSQL, [str(find_binaries() / "psql"), self.url, "-qc", copy])

    def command(self, name: str, command: Sequence[str], *, given: Path | None = None) -> Way:
        """Another tool's command; `given` is the file it gets as its input."""

        def work() -> float:
            began = time.perf_counter()
            with (given or Path("/dev/null")).open("rb") as file:
                subprocess.run(command, check=True, stdin=file)
            return time.perf_counter() - began

        postgres = self.bench.postgres.pid
        return Way(name, lambda: self._load(name, lambda: measured(postgres, work)), plain=True)

    def run(self, name: str, pipeline: str, *, changed: bool = False) -> Way:
        """A run of a pipeline, which loads other rows than the file's if `changed`."""
        return Way(name, lambda: self._load(name, lambda: self.bench.run(pipeline), changed=changed))

    def _load(self, name: str, work: Callable[[], Taken], *, changed: bool = False) -> Taken:
        tables.renew(self.url, self.table, self.kind)
        taken = work()
        if changed:
            return taken
        found = tables.count(self.url, self.table)
        self.rows = found if self.rows is None else self.rows
        if found != self.rows:
            raise SystemExit(f"{name} has loaded {found:,} of {self.rows:,} rows of {self.table.name}")
        if name not in self._compared:
            content = tables.content(self.url, self.table)
            self._compared.add(name)
            if self._content not in (None, content):
                raise SystemExit(f"{name} has loaded other values of {self.table.name}")
            self._content = content
        return taken


def document(
    dataset: Dataset,
    path: str,
    *,
    connector: str = "local_fs",
    ops: Sequence[dict[str, Any]] = (),
    rules: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The pipeline that appends the file to the dataset's table."""
    config: dict[str, Any] = {"path": path}
    if dataset.options and ".csv" in path:
        config["options"] = dataset.options
    nodes: list[dict[str, Any]] = [
        {"id": "src", "kind": "source", "connector": connector, "config": config, "fields": dataset.read_as}
    ]
    if ops:
        nodes.append({"id": "clean", "kind": "transform", "input": nodes[-1]["id"], "ops": [*ops]})
    if rules:
        nodes.append({"id": "check", "kind": "validate", "input": nodes[-1]["id"], "rowLevel": [*rules]})
    nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": tables.name_of(dataset)})
    return {
        "kind": "pipeline",
        "version": "1.0",
        "id": dataset.name,
        "metadata": {"name": dataset.name},
        "nodes": nodes,
        "errorHandling": {"maxErrorRows": 100_000_000},
    }


def append(name: str, rows: int, rounds: int) -> Iterator[Comparison]:
    """The comparisons of one dataset."""
    dataset = DATASETS[name]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, stack(Path(folder)) as state:
        file = state.files_root / f"{name}.csv"
        rows = dataset.write(file, rows)
        bench = Bench(state)
        schema = bench.schema(name, [*dataset.fields])
        copy = bench.pipeline(name, document(dataset, file.name), schema)
        for kind in tables.kinds_of(dataset):
            loads = Loads(bench, dataset, kind, rows)
            script = loads.command("polars script", command("polars", "csv", file, loads.url, dataset))
            ways = [loads.psql(file, dataset.null), replace(script, plain=False), loads.run("headrace", copy)]
            if dataset is ORDERS and kind == tables.KINDS[0]:
                ways += _more(bench, state, loads, schema, rows)
            yield Comparison.of(f"{name}, {kind}", rows, file.stat().st_size, ways, rounds)


def _more(bench: Bench, state: StackState, loads: Loads, schema: str, rows: int) -> list[Way]:
    """Orders with ops, rules, and rows that are refused."""
    write_bad_orders(state.files_root / "bad.csv", rows)
    variants: list[tuple[str, str, dict[str, Any]]] = [
        ("headrace, 3 ops", "orders.csv", {"ops": OPS}),
        ("headrace, 3 ops and 4 rules", "orders.csv", {"ops": OPS, "rules": RULES}),
        ("headrace, the same, 1 % bad rows", "bad.csv", {"ops": OPS, "rules": RULES}),
    ]
    return [
        loads.run(name, bench.pipeline(name, document(ORDERS, path, **nodes), schema), changed=True)
        for name, path, nodes in variants
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import main

    main(["append"])
