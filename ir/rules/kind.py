"""`type`: the value can be read as a data type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from ir.datatypes import DATA_TYPES, DataType
from ir.problems import fault, nearest
from ir.rules.base import one_argument


@dataclass(frozen=True, slots=True)
class OfType:
    """A cast of the value to `data_type` succeeds."""

    data_type: DataType


def of_type(args: str | None) -> OfType:
    """`type:<data type>`"""
    name = one_argument("type", args, "integer").strip()
    if name not in DATA_TYPES:
        raise fault("unknown_type", f"Unknown data type '{name}'", nearest(name, DATA_TYPES))
    return OfType(cast("DataType", name))
