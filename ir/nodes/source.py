"""The source node: where rows come from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from headrace.ir.base import ColumnName, Doc
from headrace.ir.nodes.base import NodeBase
from headrace.ir.schema import DataType, Schema
from headrace.ir.schema import Field as SchemaField


class DeclaredField(Doc):
    """A column of the source with its type. `format` is a strptime-like pattern for dates and times."""

    name: ColumnName
    """The column's name in the source."""
    data_type: DataType
    """How its values are read; a cell that cannot be is an error row."""
    precision: int | None = Field(default=None, ge=1, le=38)
    """Digits of a decimal in all."""
    scale: int | None = Field(default=None, ge=0, le=38)
    """Digits after the decimal point."""
    format: str | None = None
    """For dates and times: `%d.%m.%Y`."""


class SourceNode(NodeBase):
    """Reads rows. `config` belongs to the connector and is checked by it; without `fields` the types are inferred."""

    kind: Literal["source"]
    connector: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    """The type of connector that reads; `yaml:<id>` for a connector document, `yaml:<id>@<version>` for one version."""
    connection: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)] | None = None
    """The id or name of the connector record that it reads through; the pipeline's without it."""
    config: dict[str, Any] = Field(default_factory=dict)
    """What to read; see the connector's settings. `{{name}}` in a text is a run's parameter."""
    fields: tuple[DeclaredField, ...] | None = Field(default=None, min_length=1)
    """The columns with their types. With them the whole document is type-checked when it is saved."""

    @property
    def declared(self) -> Schema:
        """The declared schema; empty when the types are to be inferred."""
        return tuple(SchemaField(f.name, f.data_type, f.precision, f.scale, f.format) for f in self.fields or ())
