"""Row rules on values: `gt gte lt lte eq ne between`, `in`, `not_in`, `not_null`, `not_empty`, `exists`."""

from __future__ import annotations

import polars as pl

from headrace.flows.compile.casting import key_of_row, key_of_table
from headrace.flows.compile.reference_tables import Broadcast
from headrace.flows.compile.rules.base import Column, Condition
from headrace.ir.problems import nearest
from headrace.ir.rules import Between, Compare, Exists, Member, Present

_WORDS = {
    "gt": "greater than",
    "gte": "at least",
    "lt": "less than",
    "lte": "at most",
    "eq": "equal to",
    "ne": "different from",
}


def compare(rule: Compare, column: Column) -> Condition:
    """Fails when the comparison is false."""
    value, literal = column.value, column.literal(rule.literal)
    holds = {
        "gt": value > literal,
        "gte": value >= literal,
        "lt": value < literal,
        "lte": value <= literal,
        "eq": value == literal,
        "ne": value != literal,
    }
    return Condition(~holds[rule.comparator], f"Must be {_WORDS[rule.comparator]} {rule.literal}")


def between(rule: Between, column: Column) -> Condition:
    """Fails outside the bounds; both bounds are inside."""
    inside = column.value.is_between(column.literal(rule.low), column.literal(rule.high))
    return Condition(~inside, f"Must be between {rule.low} and {rule.high}")


def member(rule: Member, column: Column) -> Condition:
    """Fails when the value is not in the list, or is when negated."""
    inside = column.value.is_in(column.literals(rule.literals))
    shown = ", ".join(rule.literals[:10]) + (", ..." if len(rule.literals) > 10 else "")
    if rule.negated:
        return Condition(inside, f"Must not be one of {shown}")
    return Condition(~inside, f"Must be one of {shown}")


def present(rule: Present, column: Column) -> Condition:
    """Fails on null, and on blank text when that counts as empty."""
    if rule.empty_counts and column.dtype == pl.String:
        return Condition(column.value.is_null() | (column.value.str.strip_chars() == ""), "Must not be empty")
    return Condition(column.value.is_null(), "Must not be empty" if rule.empty_counts else "Required value is missing")


def exists(rule: Exists, column: Column) -> Condition:
    """Fails when the value is in no row of the table, as of the first time that the run reads it."""
    table = column.scope.table(rule.table, "rule")
    key = table.field(rule.field)
    if key is None:
        message = f"The table {table.name} has no column '{rule.field}'"
        hint = nearest(rule.field, [each.name for each in table.fields])
        raise column.scope.fault("rule", "unknown_column", message, hint)
    broadcast = Broadcast(table, [key])

    def known(values: pl.Series) -> pl.Series:
        return values.is_in(broadcast.rows.select(key_of_table(key)).to_series().implode())

    ours = key_of_row(column.scope, column.name, key, "rule")
    found = ours.map_batches(known, return_dtype=pl.Boolean, is_elementwise=True)
    given = column.value.str.strip_chars() != "" if column.dtype == pl.String else column.value.is_not_null()
    fails = given & ~found.fill_null(value=False)
    return Condition(fails, f"Must exist in {table.name}.{key.name}", (broadcast,))
