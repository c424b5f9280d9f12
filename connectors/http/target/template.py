"""The template of a record: JSON in which `{"$field": "name"}` is the value of a column. Nothing in it is executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal

from pydantic import ConfigDict, Field

from headrace.connectors.specs.base import ClosedConfig, problems_of
from headrace.ir.base import ColumnName
from headrace.ir.problems import MAX_PROBLEMS, Problem
from headrace.ir.schema import DataType

MOST_FIELDS = 1_000
MOST_DEPTH = 20
_SIGN = "$"
_ROOT = "config.record"
_HINT = 'write {"$field": "column"}, and perhaps type, as, nulls'


class FieldPlace(ClosedConfig):
    """The place of a column's value in a record."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    field: ColumnName = Field(alias="$field")
    """The column."""
    type: DataType | None = None
    """The type as which values are read before they are sent; one that cannot be is an error row. By default the
    column's own type, text where nothing declares it. `json` puts JSON text into the record as it is."""
    precision: int | None = Field(default=None, ge=1, le=38)
    """Digits of a decimal in all."""
    scale: int | None = Field(default=None, ge=0, le=38)
    """Digits after the decimal point."""
    as_: Literal["value", "text"] = Field(default="value", alias="as")
    """`text`: numbers and booleans are sent as JSON strings with the same digits."""
    nulls: Literal["send", "omit", "reject"] | None = None
    """A null is sent, its key is left out, or its row is an error row; by default the target's `nulls`."""


@dataclass(frozen=True, slots=True)
class Members:
    """An object of the template, by key."""

    of: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Items:
    """A list of the template."""

    of: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, number, Boolean or null that is the same in each record."""

    value: str | int | float | bool | None


Part = Members | Items | Constant | FieldPlace


def parsed(template: Mapping[str, Any]) -> tuple[Members, list[Problem]]:
    """The template of a record, and all its problems, with which the template is not complete. Paths begin with
    `config.record`."""
    problems: list[Problem] = []
    found = Members({key: _part(each, f"{_ROOT}.{key}", 1, problems) for key, each in template.items()})
    if any(key.startswith(_SIGN) for key in template):
        problems.append(Problem(_ROOT, "bad_option", "a record is an object", 'write {"id": {"$field": "id"}}'))
    fields = list(fields_of(found))
    if not fields and not problems:
        problems.append(Problem(_ROOT, "missing_field", "'record' names no column", 'write {"id": {"$field": "id"}}'))
    if len(fields) > MOST_FIELDS:
        text = f"'record' has {len(fields):,} fields, at most {MOST_FIELDS:,} are allowed"
        problems.append(Problem(_ROOT, "too_large", text, "send fewer columns"))
    first: dict[str, FieldPlace] = {}
    for each in fields:
        known = first.setdefault(each.field, each)
        if (known.type, known.precision, known.scale) != (each.type, each.precision, each.scale):
            text = f"the column '{each.field}' has two types"
            problems.append(Problem(_ROOT, "bad_option", text, "give it one type"))
    return found, problems[:MAX_PROBLEMS]


def fields_of(part: Part) -> Iterator[FieldPlace]:
    """The places of columns, in the order of the record."""
    match part:
        case FieldPlace():
            yield part
        case Members():
            for each in part.of.values():
                yield from fields_of(each)
        case Items():
            for each in part.of:
                yield from fields_of(each)


def _part(value: Any, path: str, depth: int, problems: list[Problem]) -> Part:
    if depth > MOST_DEPTH:
        text = f"nested more than {MOST_DEPTH} levels"
        problems.append(Problem(path[:200], "too_large", text, "nest it less"))
        return Constant(None)
    match value:
        case dict():
            if any(key.startswith(_SIGN) for key in value):
                return _field(value, path, problems)
            return Members({key: _part(each, f"{path}.{key}", depth + 1, problems) for key, each in value.items()})
        case list():
            return Items(tuple(_part(each, f"{path}.{index}", depth + 1, problems) for index, each in enumerate(value)))
        case float() if not isfinite(value):
            problems.append(Problem(path, "bad_option", "not a JSON number", "write a number"))
            return Constant(None)
    assert isinstance(value, str | int | float | None)
    return Constant(value)


def _field(value: Mapping[str, Any], path: str, problems: list[Problem]) -> Part:
    faults = problems_of(FieldPlace, dict(value), path=path)
    problems += [each if each.hint else replace(each, hint=_HINT) for each in faults]
    return Constant(None) if faults else FieldPlace.model_validate(dict(value))
