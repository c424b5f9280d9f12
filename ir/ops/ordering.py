"""An order of rows, as several ops take it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ir.base import ColumnName, Doc


class Order(Doc):
    """By one column. A document may write its name alone."""

    field: ColumnName
    direction: Literal["asc", "desc"] = "asc"

    @property
    def descending(self) -> bool:
        """From the largest down."""
        return self.direction == "desc"


def _named(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


Orders = Annotated[
    tuple[Annotated[Order, BeforeValidator(_named)], ...], BeforeValidator(_several), Field(max_length=32)
]
"""One or several columns, the first before the others."""

Columns = Annotated[tuple[ColumnName, ...], BeforeValidator(_several), Field(max_length=100)]
"""One or several column names."""
