"""Graphs: a join, an aggregate and a deduplicate of TPC-H's lineitem, against DuckDB on the same files.

Whole runs over REST through Prefect. DuckDB computes the same with one query, and psql copies its result into the same
table, which has no index (`benchmarks/plain.py`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.append import Loads
from benchmarks.comparison import Comparison
from benchmarks.datasets import LINEITEM, TPCH_ORDERS, Dataset, Table
from benchmarks.plain import query_command
from benchmarks.stack import Bench, stack
from benchmarks.tables import name_of

DUCKDB = "duckdb | psql"
_DUCKDB_TYPES = {"decimal": "DECIMAL({precision}, {scale})", "varchar": "VARCHAR"}


@dataclass(frozen=True)
class Graph:
    """`nodes` after the sources, which are named after their files, and the same as DuckDB's query of them."""

    about: str
    nodes: Sequence[Mapping[str, Any]]
    query: str
    result: Table
    files: Sequence[Dataset] = (LINEITEM,)


_FIELDS = {each["name"]: each for dataset in (LINEITEM, TPCH_ORDERS) for each in dataset.fields}


def _result(name: str, names: str, **made: dict[str, Any]) -> Table:
    """The table of a result: columns of the files, and those that are `made`, in the order of `names`."""
    return Table(name, [{"name": each} | made[each] if each in made else _FIELDS[each] for each in names.split()])


_JOINED = "l_orderkey l_linenumber l_quantity l_extendedprice o_custkey o_orderdate o_orderpriority"
_SUM = {"dataType": "decimal", "precision": 38, "scale": 2}

GRAPHS: Mapping[str, Graph] = {
    "join": Graph(
        "lineitem joined with the orders that its rows belong to, a quarter as many",
        [
            {
                "id": "joined",
                "kind": "join",
                "inputs": ["lineitem", "tpch_orders"],
                "type": "inner",
                "on": [{"left": "l_orderkey", "right": "o_orderkey"}],
            },
        ],
        f"SELECT {', '.join(_JOINED.split())} FROM lineitem JOIN tpch_orders ON l_orderkey = o_orderkey",
        _result("joined", _JOINED),
        (LINEITEM, TPCH_ORDERS),
    ),
    "aggregate": Graph(
        "two sums, a count and a greatest date of lineitem for each part and flag, 20 rows on average",
        [
            {
                "id": "totals",
                "kind": "transform",
                "input": "lineitem",
                "ops": [
                    {
                        "type": "aggregate",
                        "groupBy": ["l_partkey", "l_returnflag"],
                        "aggregations": [
                            {"fn": "sum", "field": "l_quantity", "as": "quantity"},
                            {"fn": "sum", "field": "l_extendedprice", "as": "price"},
                            {"fn": "count", "as": "many"},
                            {"fn": "max", "field": "l_shipdate", "as": "shipped"},
                        ],
                    }
                ],
            }
        ],
        "SELECT l_partkey, l_returnflag, sum(l_quantity), sum(l_extendedprice), count(*), max(l_shipdate) "
        "FROM lineitem GROUP BY ALL",
        _result(
            "totals",
            "l_partkey l_returnflag quantity price many shipped",
            quantity=_SUM,
            price=_SUM,
            many={"dataType": "bigint"},
            shipped={"dataType": "date"},
        ),
    ),
    "deduplicate": Graph(
        "the first row of each order, with all columns: a quarter of lineitem",
        [
            {
                "id": "firsts",
                "kind": "transform",
                "input": "lineitem",
                "ops": [
                    {
                        "type": "deduplicate",
                        "keys": ["l_orderkey"],
                        "orderBy": [{"field": "l_linenumber", "direction": "asc"}],
                    }
                ],
            }
        ],
        "SELECT * FROM lineitem QUALIFY row_number() OVER (PARTITION BY l_orderkey ORDER BY l_linenumber) = 1",
        Table("firsts", LINEITEM.fields),
    ),
}


def graphs(name: str, rows: int, rounds: int) -> Iterator[Comparison]:
    """The comparison of one graph; `rows` are those of lineitem."""
    graph = GRAPHS[name]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, stack(Path(folder)) as state:
        files = [state.files_root / f"{dataset.name}.csv" for dataset in graph.files]
        many = [dataset.write(file, rows) for dataset, file in zip(graph.files, files, strict=True)]
        bench = Bench(state)
        schema = bench.schema(graph.result.name, [*graph.result.fields])
        loads = Loads(bench, graph.result, "no index")
        views = map(_view, graph.files, files)
        query = f"WITH {', '.join(views)} {graph.query}"
        ways = [
            loads.command(DUCKDB, query_command(query, loads.url, graph.result)),
            loads.run("headrace", bench.pipeline(name, document(name), schema)),
        ]
        size = sum(file.stat().st_size for file in files)
        yield Comparison.of(f"{name}: {graph.about}", many[0], size, ways, rounds)


def document(name: str) -> dict[str, Any]:
    """The pipeline of a graph."""
    graph = GRAPHS[name]
    sources = [
        {"id": each.name, "kind": "source", "connector": "local_fs", "fields": each.read_as}
        | {"config": {"path": f"{each.name}.csv"}}
        for each in graph.files
    ]
    target = {"id": "tgt", "kind": "target", "input": graph.nodes[-1]["id"], "schema": name_of(graph.result)}
    nodes = [*sources, *graph.nodes, target]
    return {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": nodes}


def _view(dataset: Dataset, file: Path) -> str:
    """A file under the name of its dataset, read with its types."""
    types = {
        each["name"]: _DUCKDB_TYPES.get(each["dataType"], each["dataType"]).format(**each) for each in dataset.fields
    }
    return (
        f"{dataset.name} AS (SELECT * FROM read_csv('{file}', header = true, auto_detect = false, columns = {types}))"
    )
