"""The base of every model in the document: camelCase on the wire, unknown fields refused, values frozen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
)
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ir.problems import fault


def _make_exact(schema: object) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for each in schema.values():
            _make_exact(each)
    elif isinstance(schema, list | tuple):
        for each in schema:
            _make_exact(each)


class Doc(BaseModel):
    """Base model. Construct it by wire names or by Python names; it dumps wire names. A number or a truth value is
    that, and not a text that looks like one: what a JSON Schema of the model would refuse, the model refuses."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # pydantic's own `strict` would refuse lists too, because the fields are tuples
        schema = handler(source)
        _make_exact(schema)
        return schema


@dataclass(frozen=True, slots=True)
class Shorthand:
    """Beside a BeforeValidator: the JSON Schema of the shorter form that it lets a document use, made of the usual
    one's. It stands behind the validator."""

    of: Callable[[JsonSchemaValue], JsonSchemaValue]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Either form."""
        usual = handler(schema)
        return {"anyOf": [self.of(usual), usual]}


def one_of_them(several: JsonSchemaValue) -> JsonSchemaValue:
    """For a Shorthand: one thing where a list may stand."""
    items: JsonSchemaValue = several["items"]
    return items


def wire_names(model: type[BaseModel]) -> list[str]:
    """The field names a document may use for `model`."""
    return [field.alias or name for name, field in model.model_fields.items()]


def shown(pattern: str, *examples: str) -> Any:
    """What an editor is told of a text that a validator checks."""
    return Field(json_schema_extra={"pattern": pattern, "examples": list(examples)})


NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")]
"""An id inside one document: letters, digits, `_` and `-`. No dot: `<branch>.<route>` names a branch's output."""


def _column_name(name: str) -> str:
    if name.startswith("__") or "\x00" in name:
        raise fault(
            "invalid_column", f"{name!r} cannot name a column", "names that begin with two underscores are reserved"
        )
    return name


ColumnName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_column_name),
    Field(json_schema_extra={"pattern": "^(?!__)"}),
]
"""A column. Names that begin with two underscores are the engine's own."""

TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?")
"""A table's name, with or without its schema."""


def _table_name(name: str) -> str:
    if not TABLE.fullmatch(name):
        raise fault(
            "invalid_table", f"{name!r} does not name a table", "write schema.table, for example public.ds_orders"
        )
    return name


TableName = Annotated[str, AfterValidator(_table_name), shown(f"^{TABLE.pattern}$", "public.ds_orders")]
"""`schema.table` or `table`, without quotes."""

SqlText = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
"""A scalar SQL expression in the polars dialect."""
