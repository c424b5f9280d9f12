"""Response models of discovery."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from headrace.api.wire import ColumnType, Precision, ResponseModel, Scale
from headrace.connectors.source import StreamFound


class StreamField(ResponseModel):
    """A column as it was discovered."""

    name: str
    """The column's name in the source."""
    data_type: ColumnType
    precision: Precision = None
    scale: Scale = None


class StreamItem(ResponseModel):
    """Something that a connection can be read for."""

    name: str
    """The whole name, such as `sales.orders` or `2026/orders.csv`."""
    kind: str = Field(description="`table`, `view`, `file`, `folder`, …")
    settings: dict[str, Any]
    """The `config` of a source node that reads it."""
    format: str | None = Field(description="The format of a file, by its name; null if the name does not determine it")
    size: int | None = Field(description="Bytes of a file")
    rows: int | None = Field(description="About how many rows it has, where that is known")
    key: list[str] = Field(description="The columns that identify a row, where they are known")
    comment: str
    """The comment that the source has for it; empty without one."""
    fields: list[StreamField] | None = Field(description="The columns; null in lists, which do not look at them")
    guessed: list[str] = Field(description="Columns of text whose types are what samples look like")

    @classmethod
    def of(cls, found: StreamFound) -> Self:
        """A discovered stream in the API."""
        fields = None if found.fields is None else [StreamField.model_validate(each) for each in found.fields]
        return cls(
            name=found.name,
            kind=found.kind,
            settings=dict(found.settings),
            format=found.format,
            size=found.size,
            rows=found.rows,
            key=list(found.key),
            comment=found.remark,
            fields=fields,
            guessed=sorted(found.guessed),
        )


class StreamRows(ResponseModel):
    """The first rows of something that a connection can be read for."""

    name: str
    """The whole name."""
    fields: list[StreamField]
    """The columns of the rows, as a run would discover them."""
    rows: list[dict[str, Any]]
    """The rows: values by column, as JSON."""
