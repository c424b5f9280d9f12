"""The base of every model in the document: camelCase on the wire, unknown fields refused, values frozen."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

from ir.problems import fault


class Doc(BaseModel):
    """Base model. Construct it by wire names or by Python names; it dumps wire names."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, serialize_by_alias=True
    )


def wire_names(model: type[BaseModel]) -> list[str]:
    """The field names a document may use for `model`."""
    return [field.alias or name for name, field in model.model_fields.items()]


NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")]
"""An id inside one document: letters, digits, `_` and `-`. No dot: `<branch>.<route>` names a branch's output."""


def _column_name(name: str) -> str:
    if name.startswith("__") or "\x00" in name:
        raise fault(
            "invalid_column", f"{name!r} cannot name a column", "names that begin with two underscores are reserved"
        )
    return name


ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_column_name)]
"""A column. Names that begin with two underscores are the engine's own."""

TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?")
"""A table's name, with or without its schema."""


def _table_name(name: str) -> str:
    if not TABLE.fullmatch(name):
        raise fault(
            "invalid_table", f"{name!r} does not name a table", "write schema.table, for example public.ds_orders"
        )
    return name


TableName = Annotated[str, AfterValidator(_table_name)]
"""`schema.table` or `table`, without quotes."""

SqlText = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
"""A scalar SQL expression in the polars dialect."""
