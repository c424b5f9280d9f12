"""The row rules `type` and `date`: the value can be read as a data type, or as a date in a format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from headrace.ir.problems import fault, nearest
from headrace.ir.rules.syntax import one_argument
from headrace.ir.schema import DATA_TYPES, DataType


@dataclass(frozen=True, slots=True)
class OfType:
    """A cast of the value to `data_type` succeeds."""

    data_type: DataType


def of_type(args: str | None) -> OfType:
    """`type:<data type>`"""
    name = one_argument("type", args, "integer").strip()
    if name not in DATA_TYPES:
        raise fault("unknown_type", f"Unknown data type '{name}'", nearest(name, DATA_TYPES))
    return OfType(cast("DataType", name))


@dataclass(frozen=True, slots=True)
class IsDate:
    """The text is a date in the strptime-like `format`, by default ISO 8601."""

    format: str | None = None


def date(args: str | None) -> IsDate:
    """`date` or `date:%d.%m.%Y`"""
    if args is None:
        return IsDate()
    if "%" not in args:
        raise fault("rule_arguments", f"'{args}' is not a date format", "for example 'date:%d.%m.%Y'")
    return IsDate(args)
