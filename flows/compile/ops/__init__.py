"""What each op does to rows: one module each, one line here. Its shape in the document stands in `ir.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.compile.ops.add_field import compile_add_field
from flows.compile.ops.cast import compile_cast
from flows.compile.ops.drop import compile_drop
from flows.compile.ops.expression import compile_expression
from flows.compile.ops.filter import compile_filter
from flows.compile.ops.rename import compile_rename
from flows.compile.scope import Scope
from flows.compile.step import Step
from ir.ops import AddField, Cast, Drop, Expression, Filter, Rename

COMPILERS: dict[type, Callable[[Any, Scope], tuple[Step, ...]]] = {
    AddField: compile_add_field,
    Cast: compile_cast,
    Drop: compile_drop,
    Expression: compile_expression,
    Filter: compile_filter,
    Rename: compile_rename,
}
"""Compilers by the op's model; each gives the steps in order, or raises PlanError."""
