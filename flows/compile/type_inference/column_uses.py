"""How ops, rules and nodes use undeclared text cells: pass them on, or need a value of a type."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from headrace.flows.compile.scope import parsed_expression
from headrace.ir.dataset_rules import Freshness, Statistic, Uniqueness
from headrace.ir.nodes import BranchNode, EnrichNode, ValidateNode
from headrace.ir.ops import (
    AddField,
    Aggregate,
    AnyOp,
    Deduplicate,
    Drop,
    Explode,
    Expression,
    FillNull,
    Filter,
    GeoResolve,
    Hash,
    LanguageDetect,
    MapValues,
    MaskPii,
    Merge,
    ParseJson,
    Pivot,
    Rename,
    SentimentScore,
    Sort,
    Split,
    Sql,
    Summarize,
    Trim,
    Unpivot,
    VectorEmbed,
)
from headrace.ir.rules import (
    Affix,
    Between,
    Compare,
    IsDate,
    Length,
    Matches,
    Member,
    OfType,
    Rule,
    SqlCondition,
    Unique,
)
from headrace.ir.sql import Refused

Cell = TypeVar("Cell")
Names = frozenset[str]
_GATHERED = (Aggregate, Pivot, Summarize, Sql)
_PASSED_ON = ("first", "last")
"""Aggregates that return a cell unchanged."""
_COUNTS = ("count", "count_distinct")


@dataclass(frozen=True, slots=True)
class Uses:
    """Columns by their use: a `value` that is computed with, a `number` that is compared with one, a value that is
    compared by `order` or looked up in a list, a `key` that is compared with other rows, or `text`."""

    value: Names = frozenset()
    number: Names = frozenset()
    order: Names = frozenset()
    key: Names = frozenset()
    text: Names = frozenset()

    def __or__(self, other: Uses) -> Uses:
        return Uses(
            self.value | other.value,
            self.number | other.number,
            self.order | other.order,
            self.key | other.key,
            self.text | other.text,
        )

    @property
    def looked_at(self) -> Names:
        """The columns that are needed as typed values."""
        return self.value | self.number | self.order


def uses_of_op(op: AnyOp, names: Collection[str]) -> Uses:
    """How an op uses the columns `names`."""
    there = frozenset(names)
    match op:
        case Expression():
            return Uses(value=_in_expression(op.expression, there))
        case AddField() if op.expression is not None:
            return Uses(value=_in_expression(op.expression, there))
        case Filter():
            return Uses(value=in_sql(op.expression, there))
        case MapValues():
            return Uses(order=there & {op.field})
        case FillNull() if op.source is not None:
            return Uses(value=there & {*op.fields, op.source})
        case FillNull():
            return Uses(text=there & set(op.fields) if op.blank else frozenset())
        case GeoResolve():
            return Uses(number=there & {op.lat, op.lon})
        case Aggregate():
            values = {each.field for each in op.aggregations if each.fn not in (*_PASSED_ON, *_COUNTS) and each.field}
            distinct = {each.field for each in op.aggregations if each.fn == "count_distinct" and each.field}
            return Uses(value=there & values, key=there & ({*op.group_by} | distinct))
        case Pivot():
            fields = set() if op.fn in (*_PASSED_ON, "count") else {op.field}
            return Uses(value=there & fields, order=there & {op.on}, key=there & {*op.group_by})
        case Summarize():
            return Uses(order=there & set(op.fields or there - {*op.group_by}), key=there & {*op.group_by})
        case Sort():
            return Uses(order=there & {each.field for each in op.by})
        case Deduplicate():
            return Uses(order=there & {each.field for each in op.order_by}, key=there & {*op.keys})
        case Sql():
            return Uses(value=_words(op.query, there, every="*" in op.query))
        case Trim() | Hash() | Merge() | Unpivot():
            return Uses(text=there & set(op.fields))
        case Split() | ParseJson() | Explode() | MaskPii() | LanguageDetect() | SentimentScore() | VectorEmbed():
            return Uses(text=there & {op.field})
    return Uses()


def uses_of_rule(rule: Rule, field: str, names: Collection[str]) -> Uses:
    """How a rule on the column `field` uses the columns `names`."""
    there = frozenset(names)
    match rule:
        case Compare() if _is_number(rule.literal):
            return Uses(number=there & {field})
        case Between() if _is_number(rule.low) and _is_number(rule.high):
            return Uses(number=there & {field})
        case Compare() | Between() | Member():
            return Uses(order=there & {field})
        case SqlCondition():
            return Uses(value=in_sql(rule.sql, there))
        case Unique():
            return Uses(key=there & {field})
        case Matches() | Length() | Affix() | IsDate() | OfType():
            return Uses(text=there & {field})
    return Uses()


def uses_of_node(node: object, names: Collection[str]) -> Uses:
    """How a node that is not made of ops uses the columns `names`."""
    there = frozenset(names)
    match node:
        case BranchNode():
            return _all(Uses(value=in_sql(route.when, there)) for route in node.routes)
        case EnrichNode() if node.provider in ("ml_score", "http"):
            return Uses(value=there & set(node.fields))
        case ValidateNode():
            rules = _all(uses_of_rule(each.parsed, each.field, there) for each in node.row_level)
            return rules | uses_of_dataset_rules(node, there)
    return Uses()


def uses_of_dataset_rules(node: ValidateNode, names: Collection[str]) -> Uses:
    """How the dataset rules of a node use the columns `names`."""
    there = frozenset(names)
    found = Uses()
    for _, rule in node.dataset_level:
        match rule:
            case Freshness():
                found |= Uses(value=there & {rule.field})
            case Statistic() if rule.fn not in _COUNTS:
                found |= Uses(number=there & {rule.field})
            case Uniqueness():
                found |= Uses(key=there & set(rule.fields))
    return found


def makes_other_rows(op: AnyOp) -> bool:
    """Whether the op makes new rows, so that its input columns are gone."""
    return isinstance(op, _GATHERED)


def cells_after(op: AnyOp, cells: Mapping[str, Cell], touched: Callable[[Cell], Cell]) -> dict[str, Cell]:
    """The output columns of an op that still hold text cells; those that it changes without typing them are passed
    through `touched`."""
    kept = dict(cells)
    match op:
        case Rename():
            if op.source in kept:
                kept[op.to] = kept.pop(op.source)
        case Drop() | Unpivot():
            for name in op.fields:
                kept.pop(name, None)
        case Trim() | FillNull():
            for name in set(op.fields) & kept.keys():
                if isinstance(op, FillNull) and op.source is not None:
                    del kept[name]
                else:
                    kept[name] = touched(kept[name])
        case Expression() | AddField():
            same = None if op.expression is None else cells.get(_bare(op.expression))
            kept.pop(op.field, None)
            if same is not None:
                kept[op.field] = same
        case Aggregate():
            kept = {name: cells[name] for name in op.group_by if name in cells}
            for each in op.aggregations:
                if each.fn in _PASSED_ON and each.field is not None and each.field in cells:
                    kept[each.name] = cells[each.field]
        case Pivot():
            kept = {name: cells[name] for name in op.group_by if name in cells}
            if op.fn in _PASSED_ON and op.field in cells:
                kept |= {each.output: cells[op.field] for each in op.values}
        case Summarize():
            kept = {name: cells[name] for name in op.group_by if name in cells}
        case Sql():
            kept = {}
        case Hash() if op.to is None:
            for name in op.fields:
                kept.pop(name, None)
        case _:
            for name in op.makes:
                kept.pop(name, None)
    return kept


def in_sql(sql: str, names: Names) -> Names:
    """The columns that an expression reads."""
    try:
        return names & set(parsed_expression(sql).columns)
    except Refused:
        return _words(sql, names, every=False)


def _in_expression(sql: str, names: Names) -> Names:
    """The columns that an expression reads; none for a single column, which is only passed on."""
    return frozenset() if _bare(sql) in names else in_sql(sql, names)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _bare(sql: str) -> str:
    return sql.strip().strip('"`')


def _words(text: str, names: Names, *, every: bool) -> Names:
    found = set(re.findall(r"\w+", text))
    return frozenset(name for name in names if every or name in found or f'"{name}"' in text or f"`{name}`" in text)


def _all(found: Iterable[Uses]) -> Uses:
    total = Uses()
    for each in found:
        total |= each
    return total
