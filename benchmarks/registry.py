"""All benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from benchmarks.append import append
from benchmarks.comparison import Comparison
from benchmarks.datasets import DATASETS
from benchmarks.formats import FORMATS, formats
from benchmarks.graphs import GRAPHS, graphs
from benchmarks.growth import CURVES, Curve
from benchmarks.peers import peers
from benchmarks.postgresql_tables import TABLES
from benchmarks.postgresql_to_postgresql import table_to_table


@dataclass(frozen=True)
class Compared:
    """Headrace and plain tools in alternating rounds: `measure(rows, rounds)`."""

    measure: Callable[[int, int], Iterator[Comparison]]
    peers: bool = False
    """Needs packages that are installed for it: left out unless asked for."""


@dataclass(frozen=True)
class Program:
    """A module that measures something of its own, with its own options, and prints it: `python -m
    benchmarks.<module>`. `rows` is its option for the size, `""` if that is its first argument, None without one."""

    module: str
    rows: str | None = None


def _appending(name: str) -> Compared:
    return Compared(lambda rows, rounds: append(name, rows, rounds))


def _reading(name: str) -> Compared:
    return Compared(lambda rows, rounds: formats(name, rows, rounds))


def _copying(name: str) -> Compared:
    return Compared(lambda rows, rounds: table_to_table(name, rows, rounds))


def _graph(name: str) -> Compared:
    return Compared(lambda rows, rounds: graphs(name, rows, rounds))


def _beside_peers(name: str) -> Compared:
    return Compared(lambda rows, rounds: peers(name, rows, rounds), peers=True)


Benchmark: TypeAlias = Compared | Curve | Program

BENCHMARKS: Mapping[str, Benchmark] = {
    **{f"append/{name}": _appending(name) for name in DATASETS},
    **{f"format/{name}": _reading(name) for name in FORMATS},
    **{f"graph/{name}": _graph(name) for name in GRAPHS},
    **{f"growth/{name}": curve for name, curve in CURVES.items()},
    **{f"postgresql/{name}": _copying(name) for name in TABLES},
    **{f"peers/{name}": _beside_peers(name) for name in ("orders", "lineitem")},
    "api": Program("api"),
    "console": Program("console"),
    "bson_columns": Program("bson_columns"),
    "generated_key": Program("generated_key", "--rows"),
    "kafka": Program("kafka"),
    "killed_copy": Program("killed_copy", "--rows"),
    "kinesis": Program("kinesis"),
    "overhead": Program("overhead"),
    "postgresql_source": Program("postgresql_source", ""),
    "reconcile": Program("reconcile"),
    "rest_api": Program("rest_api", "--records"),
    "start": Program("start"),
    "stores": Program("stores", ""),
    "streaming": Program("streaming"),
    "upsert": Program("upsert", "--rows"),
    "webhook": Program("webhook"),
}


def chosen(names: list[str], *, with_peers: bool) -> dict[str, Benchmark]:
    """The benchmarks of these names; `append` stands for all of `append/…`. Without names all of them, those with peers
    only `with_peers`. Raises KeyError with a name that there is not."""
    found: dict[str, Benchmark] = {}
    for name in names:
        matching = {each: what for each, what in BENCHMARKS.items() if each == name or each.startswith(f"{name}/")}
        if not matching:
            raise KeyError(name)
        found |= matching
    return found or {
        name: what for name, what in BENCHMARKS.items() if with_peers or not (isinstance(what, Compared) and what.peers)
    }


def modules() -> set[str]:
    """The modules of this package that `make bench` runs."""
    compared = {"append", "formats", "graphs", "growth", "peers", "postgresql_to_postgresql"}
    return compared | {what.module for what in BENCHMARKS.values() if isinstance(what, Program)}
