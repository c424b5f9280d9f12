"""Ops on rows: filter, sort, deduplicate; and the column lists and sort orders that several ops take."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from headrace.ir.base import ColumnName, Doc, Shorthand, SqlText, item_schema
from headrace.ir.ops.base import OpBase


class Filter(OpBase):
    """Keeps the rows for which `expression` is true; the others are skipped and counted."""

    type: Literal["filter"]
    expression: SqlText
    """A SQL condition over the row."""


class Order(Doc):
    """A sort order by one column. A document may write only its name."""

    field: ColumnName
    """The column."""
    direction: Literal["asc", "desc"] = "asc"
    """Ascending or descending."""

    @property
    def descending(self) -> bool:
        """Whether the order is descending."""
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
    Shorthand(item_schema),
]
"""One or several sort orders, in order of precedence."""

Columns = Annotated[tuple[ColumnName, ...], Field(max_length=100), BeforeValidator(_several), Shorthand(item_schema)]
"""One or several column names."""


class Sort(OpBase):
    """Orders all rows by `by`, nulls last, equal rows in the order of the source. One partition loads them."""

    type: Literal["sort"]
    by: Annotated[Orders, Field(min_length=1)]
    """The sort orders, in order of precedence."""


class Deduplicate(OpBase):
    """Keeps the first or the last of the rows with equal `keys` (nulls are equal), ordered by `orderBy`, where a value
    is preferred to a null, then by the order of the source. The other rows are skipped and counted."""

    type: Literal["deduplicate"]
    keys: Annotated[Columns, Field(min_length=1)]
    """The columns that identify a row."""
    keep: Literal["first", "last"] = "first"
    """Which row of each key to keep."""
    order_by: Orders = ()
    """The order of rows; by default that of the source."""
