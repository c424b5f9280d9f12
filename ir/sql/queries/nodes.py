"""The nodes of sqlglot's tree that a query of the op `sql` may have. What is not listed here is refused."""

from __future__ import annotations

from sqlglot import exp

from headrace.ir.sql.queries.functions import PARTS

_SET = ("this", "expression", "distinct", "by_name", "order", "limit", "offset", "with_")
_TWO = ("this", "expression")

NODES: dict[type[exp.Expr], tuple[str, ...]] = {
    exp.Select: (
        *("expressions", "distinct", "from_", "joins", "where", "group", "having", "qualify", "windows", "order"),
        *("limit", "offset", "with_"),
    ),
    exp.Union: _SET,
    exp.Except: _SET,
    exp.Intersect: _SET,
    exp.With: ("expressions",),
    exp.CTE: ("this", "alias", "materialized"),
    exp.Subquery: ("this", "alias", "with_", "order", "limit", "offset"),
    exp.From: ("this",),
    exp.Join: ("this", "side", "kind", "method", "on", "using"),
    exp.Where: ("this",),
    exp.Group: ("expressions", "all"),
    exp.Having: ("this",),
    exp.Qualify: ("this",),
    exp.Order: ("this", "expressions"),
    exp.Ordered: ("this", "desc", "nulls_first"),
    exp.Limit: ("expression",),
    exp.Offset: ("expression",),
    exp.Distinct: ("expressions", "on"),
    exp.Star: ("except_", "replace"),
    exp.Window: ("this", "partition_by", "order", "spec", "alias", "over", "first"),
    exp.WindowSpec: ("kind", "start", "start_side", "end", "end_side"),
    exp.Filter: _TWO,
    exp.Alias: ("this", "alias"),
    exp.TableAlias: ("this", "columns"),
    exp.Table: ("this", "alias", "joins"),
    exp.Exists: ("this",),
    exp.Column: ("this", "table"),
    exp.Identifier: ("this", "quoted"),
    exp.Literal: ("this", "is_string"),
    exp.Null: (),
    exp.Boolean: ("this",),
    exp.Paren: ("this",),
    exp.Tuple: ("expressions",),
    exp.Array: ("expressions", "bracket_notation"),
    exp.Interval: ("this", "unit"),
    exp.Var: ("this",),
    exp.DataType: ("this", "expressions", "nested"),
    exp.DataTypeParam: ("this",),
    exp.Anonymous: ("this", "expressions"),
    exp.Cast: ("this", "to"),
    exp.TryCast: ("this", "to", "requires_string", "safe"),
    exp.Extract: ("this", "expression"),
    exp.Trim: ("this", "expression", "position"),
    exp.Substring: ("this", "start", "length"),
    exp.StrPosition: ("this", "substr"),
    exp.Case: ("this", "ifs", "default"),
    exp.If: ("this", "true", "false"),
    exp.Between: ("this", "low", "high"),
    exp.In: ("this", "expressions", "query"),
    exp.AtTimeZone: ("this", "zone"),
    exp.Not: ("this",),
    exp.Neg: ("this",),
    exp.BitwiseNot: ("this",),
    exp.Div: (*_TWO, "typed", "safe"),
    **dict.fromkeys(
        (
            *(exp.And, exp.Or, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Is, exp.NullSafeEQ),
            *(
                exp.NullSafeNEQ,
                exp.Like,
                exp.ILike,
                exp.Escape,
                exp.Add,
                exp.Sub,
                exp.Mul,
                exp.IntDiv,
                exp.Mod,
                exp.Pow,
            ),
            *(exp.DPipe, exp.BitwiseAnd, exp.BitwiseOr),
        ),
        (*_TWO, "safe", "negate"),
    ),
}
"""The allowed nodes, with the arguments that each may have."""

WORDS: dict[tuple[type[exp.Expr], str], frozenset[str]] = {
    (exp.Join, "side"): frozenset({"LEFT", "RIGHT", "FULL"}),
    (exp.Join, "kind"): frozenset({"INNER", "OUTER", "CROSS", "SEMI", "ANTI"}),
    (exp.Join, "method"): frozenset({"NATURAL", "ASOF"}),
    (exp.Window, "over"): frozenset({"OVER"}),
    (exp.WindowSpec, "kind"): frozenset({"ROWS", "RANGE", "GROUPS"}),
    (exp.WindowSpec, "start"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
    (exp.WindowSpec, "end"): frozenset({"UNBOUNDED", "CURRENT ROW"}),
    (exp.WindowSpec, "start_side"): frozenset({"PRECEDING", "FOLLOWING"}),
    (exp.WindowSpec, "end_side"): frozenset({"PRECEDING", "FOLLOWING"}),
    (exp.Trim, "position"): frozenset({"BOTH", "LEADING", "TRAILING"}),
    (exp.Var, "this"): PARTS | {"ALL"},
}
"""The allowed values of arguments that are text."""
