"""How ops, rules and nodes use undeclared text cells: pass them on, or need a value of a type."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from headrace.ir.sql.expressions.as_written import AsWritten, as_written

Cell = TypeVar("Cell")
Names = frozenset[str]
_GATHERED = (Aggregate, Pivot, Summarize, Sql)
_PASSED_ON = ("first", "last", "min", "max")
"""Aggregates that return a cell unchanged."""
_OF_ANY = ("first", "last", "count", "count_distinct")
"""Aggregates that need no value of a cell."""
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


def _anything(_: str) -> bool:
    return True


def uses_of_op(
    op: AnyOp,
    names: Collection[str],
    is_text: Callable[[str], bool] = _anything,
    columns: Sequence[str] | None = None,
) -> Uses:
    """How an op uses the columns `names`. `is_text` says whether another column is text; while that is not known, any
    may be. `columns` are all columns before it in order, None if they are not known."""
    there = frozenset(names)
    match op:
        case Expression():
            return in_sql(op.expression, there, is_text, passes=True)
        case AddField() if op.expression is not None:
            return in_sql(op.expression, there, is_text, passes=op.data_type is None)
        case Filter():
            return in_sql(op.expression, there, is_text)
        case MapValues():
            return Uses(order=there & {op.field})
        case FillNull() if op.source is not None:
            involved = {*op.fields, op.source}
            passed_on = all(name in there or is_text(name) for name in involved)
            return Uses() if passed_on else Uses(value=there & involved)
        case FillNull():
            return Uses(text=there & set(op.fields) if op.blank else frozenset())
        case GeoResolve():
            return Uses(number=there & {op.lat, op.lon})
        case Aggregate():
            values = {each.field for each in op.aggregations if each.fn not in _OF_ANY and each.field}
            distinct = {each.field for each in op.aggregations if each.fn == "count_distinct" and each.field}
            return Uses(value=there & values, key=there & ({*op.group_by} | distinct))
        case Pivot():
            fields = set() if op.fn in _OF_ANY else {op.field}
            return Uses(value=there & fields, order=there & {op.on}, key=there & {*op.group_by})
        case Summarize():
            measured = there & set(op.fields or there - {*op.group_by})
            texts = measured if {"min", "max"} & {*op.stats} else frozenset[str]()
            return Uses(order=measured, key=there & {*op.group_by}, text=texts)
        case Sort():
            return Uses(order=there & {each.field for each in op.by})
        case Deduplicate():
            return Uses(order=there & {each.field for each in op.order_by}, key=there & {*op.keys})
        case Sql():
            return _in_query(op.query, names, columns)
        case Trim() | Hash() | Merge() | Unpivot():
            return Uses(text=there & set(op.fields))
        case Split() | ParseJson() | Explode() | MaskPii() | LanguageDetect() | SentimentScore() | VectorEmbed():
            return Uses(text=there & {op.field})
    return Uses()


def uses_of_rule(rule: Rule, field: str, names: Collection[str], is_text: Callable[[str], bool] = _anything) -> Uses:
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
            return in_sql(rule.sql, there, is_text)
        case Unique():
            return Uses(key=there & {field})
        case Matches() | Length() | Affix() | IsDate() | OfType():
            return Uses(text=there & {field})
    return Uses()


def uses_of_node(node: object, names: Collection[str], is_text: Callable[[str], bool] = _anything) -> Uses:
    """How a node that is not made of ops uses the columns `names`."""
    there = frozenset(names)
    match node:
        case BranchNode():
            return _all(in_sql(route.when, there, is_text) for route in node.routes)
        case EnrichNode() if node.provider in ("ml_score", "http"):
            return Uses(value=there & set(node.fields))
        case ValidateNode():
            rules = _all(uses_of_rule(each.parsed, each.field, there, is_text) for each in node.row_level)
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


def cells_after(
    op: AnyOp,
    cells: Mapping[str, Cell],
    touched: Callable[[Cell], Cell],
    merged: Callable[[Sequence[Cell]], Cell],
    is_text: Callable[[str], bool] = _anything,
    columns: Sequence[str] | None = None,
) -> dict[str, Cell]:
    """The output columns of an op that still hold text cells. Those that it changes without typing them are passed
    through `touched`, and those that hold cells of several columns are `merged`. `columns` as in `uses_of_op`."""
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
                if not isinstance(op, FillNull) or op.source is None:
                    kept[name] = touched(kept[name])
                elif op.source in cells and all(each in cells or is_text(each) for each in op.fields):
                    kept[name] = merged([cells[name], cells[op.source]])
                else:
                    del kept[name]
        case Expression() | AddField():
            kept.pop(op.field, None)
            typed = isinstance(op, AddField) and op.data_type is not None
            passed = [] if op.expression is None or typed else _passed(op.expression, cells, is_text)
            if passed:
                kept[op.field] = (
                    cells[passed[0]] if _is_column(op.expression or "") else merged([*map(cells.__getitem__, passed)])
                )
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
            kept = _results(op.query, cells, merged, columns)
        case Hash() if op.to is None:
            for name in op.fields:
                kept.pop(name, None)
        case _:
            for name in op.makes:
                kept.pop(name, None)
    return kept


def _in_query(text: str, names: Collection[str], columns: Sequence[str] | None) -> Uses:
    """How a query uses columns."""
    from headrace.ir.sql.queries.query import query  # its parser takes a while to load

    try:
        found = query(text).cells(names, columns)
    except Refused:
        return Uses(value=_words(text, frozenset(names), every="*" in text))
    return Uses(
        value=frozenset(name for name in names if name.lower() in found.values),
        text=frozenset(name for name in names if name.lower() in found.texts),
    )


def _results(
    text: str,
    cells: Mapping[str, Cell],
    merged: Callable[[Sequence[Cell]], Cell],
    columns: Sequence[str] | None,
) -> dict[str, Cell]:
    """The columns of a query's result that hold cells."""
    from headrace.ir.sql.queries.query import query

    try:
        found = query(text).cells(cells, columns)
    except Refused:
        return {}
    return {
        name: merged([cells[each] for each in cells if each.lower() in sources])
        for name, sources in found.results.items()
    }


def in_sql(sql: str, names: Names, is_text: Callable[[str], bool] = _anything, *, passes: bool = False) -> Uses:
    """How an expression uses columns. With `passes`, it makes a column of its result, which may be one of them."""
    try:
        written = _written(sql, names, is_text, passes=passes)
    except Refused:
        return Uses(value=_words(sql, names, every=False))
    return Uses(value=written.values, text=written.texts)


def _passed(sql: str, names: Collection[str], is_text: Callable[[str], bool]) -> list[str]:
    """The columns whose cells an expression may return unchanged."""
    try:
        return sorted(_written(sql, names, is_text, passes=True).passed)
    except Refused:
        return []


def _written(sql: str, names: Collection[str], is_text: Callable[[str], bool], *, passes: bool) -> AsWritten:
    return as_written(parsed_expression(sql).tree, names, is_text, passes=passes)


def _is_column(sql: str) -> bool:
    return parsed_expression(sql).tree.nodes[-1].kind == "column"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _words(text: str, names: Names, *, every: bool) -> Names:
    found = set(re.findall(r"\w+", text))
    return frozenset(name for name in names if every or name in found or f'"{name}"' in text or f"`{name}`" in text)


def _all(found: Iterable[Uses]) -> Uses:
    total = Uses()
    for each in found:
        total |= each
    return total
