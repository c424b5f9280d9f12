"""`exists`: the value is a key of another table."""

from __future__ import annotations

from dataclasses import dataclass

from ir.base import TABLE
from ir.problems import fault
from ir.rules.base import one_argument


@dataclass(frozen=True, slots=True)
class Exists:
    """The value stands in `field` of `table` (qualified)."""

    table: str
    field: str


def exists(args: str | None) -> Exists:
    """`exists:<schema>.<field>`, the schema by its table's name: `ds_customers.id` or `public.ds_customers.id`"""
    text = one_argument("exists", args, "ds_customers.id").strip()
    table, _, field = text.rpartition(".")
    if not field or not TABLE.fullmatch(table):
        raise fault(
            "rule_arguments", f"'{text}' does not name a table's column", "for example 'exists:ds_customers.id'"
        )
    return Exists(table if "." in table else f"public.{table}", field)
