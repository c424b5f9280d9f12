"""The base model of the document: camelCase in JSON, unknown fields refused, instances frozen."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, cast

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
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from headrace.ir.problems import fault


def _make_exact(schema: object) -> None:
    if isinstance(schema, dict):
        if schema.get("type") in ("int", "float", "bool"):
            schema["strict"] = True
        for each in schema.values():
            _make_exact(each)
    elif isinstance(schema, list | tuple):
        for each in schema:
            _make_exact(each)


def refuse_booleans(schema: object) -> None:
    """Changes a pydantic schema so that no number in it can be given as a Boolean, which Python counts as 0 or 1."""
    if isinstance(schema, dict):
        if schema.get("type") == "function-before" and schema["function"].get("function") in _NO_BOOLEAN.values():
            return
        for each in schema.values():
            refuse_booleans(each)
        if (kind := schema.get("type")) in ("int", "float"):
            number = cast(CoreSchema, dict(schema))
            schema.clear()
            schema |= core_schema.no_info_before_validator_function(_NO_BOOLEAN[kind], number)
    elif isinstance(schema, list | tuple):
        for each in schema:
            refuse_booleans(each)


def _no_boolean(problem: Literal["int_type", "float_type"]) -> Callable[[object], object]:
    def check(value: object) -> object:
        if isinstance(value, bool):
            raise PydanticKnownError(problem)
        return value

    return check


_NO_BOOLEAN = {"int": _no_boolean("int_type"), "float": _no_boolean("float_type")}


def is_whole_number(value: object) -> TypeGuard[int]:
    """Whether a JSON value is a whole number: `true` is not, although Python counts it as 1."""
    return isinstance(value, int) and not isinstance(value, bool)


class Doc(BaseModel):
    """Base model. Accepts field names as in JSON or as in Python, and dumps those of JSON. Numbers and booleans are
    strict: text that looks like one is refused, as the model's JSON Schema refuses it."""

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
    """Adds the short form that a BeforeValidator accepts to the JSON Schema. `of` makes its schema from that of the
    usual form. List it after the validator."""

    of: Callable[[JsonSchemaValue], JsonSchemaValue]

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Returns a schema that accepts either form."""
        usual = handler(schema)
        return {"anyOf": [self.of(usual), usual]}


@dataclass(frozen=True)
class ShownPattern:
    """Adds the pattern of a text that a validator checks to the JSON Schema, keeping its other keywords."""

    pattern: str

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Returns the schema with the pattern."""
        return {**handler(schema), "pattern": self.pattern}


def item_schema(several: JsonSchemaValue) -> JsonSchemaValue:
    """For a Shorthand: the schema of one item, where a document may write it instead of a list."""
    items: JsonSchemaValue = several["items"]
    return items


def wire_names(model: type[BaseModel]) -> list[str]:
    """The field names a document may use for `model`."""
    return [field.alias or name for name, field in model.model_fields.items()]


def shown(pattern: str, *examples: str) -> Any:
    """Adds the pattern and examples of a text that a validator checks to the JSON Schema."""
    return Field(json_schema_extra={"pattern": pattern, "examples": list(examples)})


_CONTROL = "\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029"


def _one_line(name: str) -> str:
    if re.search(f"[{_CONTROL}]", name):
        raise fault("invalid_name", f"{name!r} holds a line end or a control character", "write it in one line")
    return name


DisplayName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_one_line),
    ShownPattern(f"^[^{_CONTROL}]*$"),
]
"""A name for people, in lists, logs and Prefect. It is one line, because a line end would break what shows it."""

NodeId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$")]
"""An id inside one document: letters, digits, `_` and `-`. No dot, because `<branch>.<route>` names a branch's
output."""


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
"""A column name. Names that begin with two underscores are reserved for the engine."""

TABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?")
"""A table name, with or without a schema."""


def _table_name(name: str) -> str:
    if not TABLE.fullmatch(name):
        raise fault(
            "invalid_table", f"{name!r} does not name a table", "write schema.table, for example public.ds_orders"
        )
    return name


TableName = Annotated[str, AfterValidator(_table_name), shown(f"^{TABLE.pattern}$", "public.ds_orders")]
"""`schema.table` or `table`, without quotes."""

SqlText = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
"""A scalar SQL expression, or the query of an op `sql`. The text itself is never run: `ir.sql` parses it and writes it
again."""
