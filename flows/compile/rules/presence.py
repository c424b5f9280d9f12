"""`not_null`, `not_empty`"""

from __future__ import annotations

import polars as pl

from flows.compile.rules.base import Column, Condition
from ir.rules import Present


def present(rule: Present, column: Column) -> Condition:
    """Fails on null, and on blank text when that counts as empty."""
    if rule.empty_counts and column.dtype == pl.String:
        return Condition(column.value.is_null() | (column.value.str.strip_chars() == ""), "Must not be empty")
    return Condition(column.value.is_null(), "Must not be empty" if rule.empty_counts else "Required value is missing")
