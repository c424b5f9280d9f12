"""The cost of decoding MongoDB's documents: CPU seconds, ours by columns, and the driver's decoder with a column of
each field made from its dicts.

    python -m benchmarks.bson_columns [DOCUMENTS]

Rounds in turns, on documents of ten mixed fields as the server sends them; both give a typed frame.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import bson
import msgspec
import polars as pl
from bson import Decimal128, Int64, ObjectId

from headrace.connectors.mongodb.frames import Chosen, Rows
from headrace.ir.schema import Field

_DOCUMENTS, _ROUNDS = 50_000, 3
_TYPES = {
    **{"_id": "text", "n": "integer", "big": "bigint", "name": "text", "city": "text", "x": "double"},
    **{"amount": "decimal", "at": "timestamptz", "ok": "boolean", "inside": "json"},
}


def _documents(count: int) -> bytes:
    first = datetime(2024, 1, 1)
    made = (
        {
            "_id": ObjectId(),
            "n": n,
            "big": Int64(n * 10**10),
            "name": f"customer number {n}",
            "city": ("Ulm", "Köln", "Berlin")[n % 3],
            "x": n * 1.25,
            "amount": Decimal128(f"{n}.{n % 100:02d}"),
            "at": first + timedelta(seconds=n),
            "ok": n % 2 == 0,
            "inside": {"list": [1, n], "text": f"t{n}"},
        }
        for n in range(count)
    )
    return b"".join(bson.encode(each) for each in made)


def _ours(text: bytes) -> pl.DataFrame:
    chosen = [Chosen(Field(name, data_type), name) for name, data_type in _TYPES.items()]  # type: ignore[arg-type]
    return Rows(chosen, ("_id",), 1, "documents").batch(text, 0).frame


def _drivers(text: bytes) -> pl.DataFrame:
    documents = bson.decode_all(text)
    own: dict[str, Callable[[list[Any]], list[Any]]] = {
        "_id": lambda values: [str(each) for each in values],
        "amount": lambda values: [each.to_decimal() for each in values],
        "inside": lambda values: msgspec.json.Encoder().encode_lines(values).decode().split("\n")[:-1],
    }
    columns = {}
    for name in _TYPES:
        values = [each.get(name) for each in documents]
        columns[name] = own[name](values) if name in own else values
    return pl.DataFrame(columns)


def main() -> None:
    """Prints the seconds of each round."""
    text = _documents(int(sys.argv[1]) if len(sys.argv) > 1 else _DOCUMENTS)
    print(f"{len(text) / 1e6:.1f} MB")
    for _ in range(_ROUNDS):
        for name, read in (("by columns", _ours), ("the driver's", _drivers)):
            began = time.process_time()
            rows = read(text).height
            print(f"{name:>12}: {time.process_time() - began:.2f} s for {rows:,} documents")


if __name__ == "__main__":
    main()
