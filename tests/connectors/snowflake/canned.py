"""Columns in Snowflake's format, for responses that a test defines."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tests.connectors.snowflake.double import Double

CODES = {"FIXED": 0, "REAL": 1, "TEXT": 2, "DATE": 3, "TIMESTAMP_LTZ": 6, "TIMESTAMP_TZ": 7, "TIMESTAMP_NTZ": 8}


def column(name: str, logical: str, values: pa.Array, **size: int) -> tuple[dict[str, Any], pa.Field, pa.Array]:
    """As the server describes it, and as it sends it."""
    shown = {
        "name": name,
        "type": logical.lower(),
        "nullable": True,
        "precision": size.get("precision"),
        "scale": size.get("scale"),
        "length": size.get("length"),
        "byteLength": size.get("length"),
        "database": "",
        "schema": "",
        "table": "",
        "collation": None,
    }
    metadata = {
        "logicalType": logical,
        "precision": str(size.get("precision", 38)),
        "scale": str(size.get("scale", 0)),
        "charLength": str(size.get("length", 0)),
    }
    return shown, pa.field(name, values.type, metadata=metadata), values


def sent(account: Double, *columns: tuple[dict[str, Any], pa.Field, pa.Array], **fields: Any) -> Any:
    """A source of a query that gives these columns."""
    table = pa.Table.from_arrays([each[2] for each in columns], schema=pa.schema([each[1] for each in columns]))
    account.can("FROM canned", [each[0] for each in columns], table)
    return account.source(query="SELECT * FROM canned", **fields)


def moments(*values: tuple[int, int] | None) -> pa.Array:
    kind = pa.struct([pa.field("epoch", pa.int64(), nullable=False), pa.field("fraction", pa.int32(), nullable=False)])
    return pa.array([None if each is None else {"epoch": each[0], "fraction": each[1]} for each in values], kind)
