"""Typed columns as they pass from node to node."""

from __future__ import annotations

from dataclasses import dataclass

from ir.datatypes import DataType


@dataclass(frozen=True, slots=True)
class Field:
    """A named column. `precision` and `scale` belong to decimals; `format` (strptime-like) to dates kept as text."""

    name: str
    data_type: DataType
    precision: int | None = None
    scale: int | None = None
    format: str | None = None


Schema = tuple[Field, ...]
