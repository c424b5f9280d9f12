"""The data of the benchmarks: orders of twelve columns of mixed types, the same for every seed, and their pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

COLUMNS = {
    "id": "bigint",
    "customer": "integer",
    "email": "text",
    "name": "text",
    "city": "text",
    "amount": "decimal",
    "price": "double",
    "quantity": "smallint",
    "active": "boolean",
    "birthday": "date",
    "created": "timestamptz",
    "note": "text",
}

TABLE = """
    id bigint, customer integer, email text, full_name text, city text, amount numeric(12,2), price double precision,
    quantity smallint, active boolean, birthday date, created timestamptz, note text
"""
"""Columns of the raw table that `psql \\copy` loads: the file's, in its order."""

_CHUNK = 500_000
_CITIES = [
    f"City of {word}" for word in ("Ash", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Larch", "Maple", "Oak", "Pine")
]


def write_orders(path: Path, rows: int, *, bad_share: float = 0.0, seed: int = 7) -> None:
    """Writes a CSV of so many orders; `bad_share` of them have a negative quantity, which a rule refuses."""
    generator = np.random.default_rng(seed)
    with path.open("wb") as file:
        for start in range(0, rows, _CHUNK):
            count = min(_CHUNK, rows - start)
            frame = _chunk(generator, start, count, bad_share)
            frame.write_csv(file, include_header=start == 0, datetime_format="%Y-%m-%dT%H:%M:%SZ")


def _chunk(generator: np.random.Generator, start: int, count: int, bad_share: float) -> pl.DataFrame:
    customer = generator.integers(1, 200_000, count)
    quantity = generator.integers(1, 100, count).astype(np.int16)
    quantity[generator.random(count) < bad_share] *= -1
    ids = pl.Series("id", range(start + 1, start + count + 1), dtype=pl.Int64)
    return pl.DataFrame({"id": ids, "customer": customer}).select(
        "id",
        "customer",
        pl.format("customer{}@example.org", "customer").alias("email"),
        pl.format("Customer Number {}", "customer").alias("name"),
        pl.Series(_CITIES).gather(pl.Series(generator.integers(0, len(_CITIES), count))).alias("city"),
        pl.Series(generator.integers(100, 10_000_000, count) / 100).round(2).alias("amount"),
        pl.Series(generator.random(count) * 1000).alias("price"),
        pl.Series(quantity).alias("quantity"),
        pl.Series(generator.random(count) < 0.5).alias("active"),
        pl.Series(generator.integers(-10_000, 15_000, count)).cast(pl.Int32).cast(pl.Date).alias("birthday"),
        pl.from_epoch(pl.Series("created", generator.integers(1_500_000_000, 1_800_000_000, count))),
        pl.format("a note about order {} that nobody reads", ids).alias("note"),
    )  # fmt: skip


OPS: list[dict[str, Any]] = [
    {"type": "rename", "from": "name", "to": "full_name"},
    {"type": "expression", "field": "total", "expression": "price * quantity"},
    {"type": "add_field", "field": "dataset", "value": "orders"},
]
RULES: list[dict[str, Any]] = [
    {"id": "email", "field": "email", "rule": "email"},
    {"id": "quantity", "field": "quantity", "rule": "gt:0"},
    {"id": "city", "field": "city", "rule": f"in:{','.join(_CITIES)}"},
    {"id": "amount", "field": "amount", "rule": "between:0,1000000"},
]


def pipeline_ir(path: str, table: str, *, ops: bool = True, rules: bool = True) -> dict[str, Any]:
    """The pipeline over the file: three ops, four rules, append."""
    fields = [
        {"name": name, "dataType": kind} | ({"precision": 12, "scale": 2} if kind == "decimal" else {})
        for name, kind in COLUMNS.items()
    ]
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": path}, "fields": fields}
    chain: list[dict[str, Any]] = [source]
    if ops:
        chain.append({"id": "clean", "kind": "transform", "input": chain[-1]["id"], "ops": OPS})
    if rules:
        chain.append({"id": "check", "kind": "validate", "input": chain[-1]["id"], "rowLevel": RULES})
    chain.append({"id": "tgt", "kind": "target", "input": chain[-1]["id"], "schema": table})
    return {
        "kind": "pipeline",
        "version": "1.0",
        "id": "orders",
        "metadata": {"name": "Orders"},
        "nodes": chain,
        "errorHandling": {"maxErrorRows": 100_000_000},
    }
