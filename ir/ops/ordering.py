"""An order of rows, as several ops take it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from ir.base import ColumnName, Doc, Shorthand, one_of_them


class Order(Doc):
    """By one column. A document may write its name alone."""

    field: ColumnName
    """The column."""
    direction: Literal["asc", "desc"] = "asc"
    """From the smallest up, or from the largest down."""

    @property
    def descending(self) -> bool:
        """From the largest down."""
        return self.direction == "desc"


def _named(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


def _several(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


_NAME: dict[str, Any] = {"type": "string", "minLength": 1}

Orders = Annotated[
    tuple[Annotated[Order, BeforeValidator(_named), Shorthand(lambda _: _NAME)], ...],
    Field(max_length=32),
    BeforeValidator(_several),
    Shorthand(one_of_them),
]
"""One or several columns, the first before the others."""

Columns = Annotated[tuple[ColumnName, ...], Field(max_length=100), BeforeValidator(_several), Shorthand(one_of_them)]
"""One or several column names."""
