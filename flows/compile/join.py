"""The join of two inputs: both are sent into buckets by the hash of their keys, and each bucket is joined by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from connectors.base import ROW
from flows.compile.gather import Gather, Side
from flows.compile.provenance import From, Made, Provenance, kept
from flows.compile.scope import Scope
from flows.compile.step import Step
from flows.compile.types import schema_of
from ir.nodes import JoinNode

_RIGHT_ROW = "__right"
MAX_COLUMNS = 5_000
"""A chain of joins multiplies columns; a table has 1,600 at most."""


def compile_join(node: JoinNode, left: Scope, right: Scope) -> Step:
    """The step that gathers both sides. Raises PlanError for keys that are not there or cannot be compared, and for a
    name that two columns would have."""
    keys: list[tuple[pl.Expr, pl.Expr, pl.DataType]] = []
    for position, pair in enumerate(node.on):
        one, other = left.column(pair.left, f"on[{position}].left"), right.column(pair.right, f"on[{position}].right")
        common = _common(one, other)
        if common is None:
            message = f"'{pair.left}' is {one} and '{pair.right}' is {other}: they cannot be compared"
            raise left.fault(f"on[{position}]", "impossible_cast", message, "cast one of them before the join")
        keys.append((pl.col(pair.left).cast(common), pl.col(pair.right).cast(common), common))
    taken = _taken(node, left, right)
    names = [f"__k{position}" for position in range(len(keys))]
    ours = [key.alias(name) for name, (key, _, _) in zip(names, keys, strict=True)]
    theirs = [key.alias(name) for name, (_, key, _) in zip(names, keys, strict=True)]
    # A row that only the right side has brings its keys under the left's names.
    filled = [
        pl.coalesce(pl.col(pair.left).cast(common), name).alias(pair.left)
        for pair, name, (_, _, common) in zip(node.on, names, keys, strict=True)
    ]

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        mine, others = frames[0].with_columns(ours), frames[1].with_columns(theirs)
        if node.type in ("semi", "anti"):
            return mine.join(others.select(names), on=names, how=node.type).sort(ROW).select(left.visible)
        columns = [pl.col(name).alias(output) for name, output in taken.items()]
        others = others.select(*names, *columns, pl.col(ROW).alias(_RIGHT_ROW))
        made = mine.join(others, on=names, how=node.type, coalesce=True)
        if node.type == "full":
            made = made.with_columns(filled)
        return made.sort(ROW, _RIGHT_ROW, nulls_last=True).select(*left.visible, *taken.values())

    origins: dict[str, tuple[str, ...]] = {name: (name,) for name in left.visible}
    origins |= {pair.left: (pair.left, pair.right) for pair in node.on}
    origins |= {output: (name,) for name, output in taken.items()}
    sides = (
        Side("left", tuple(key for key, _, _ in keys), schema_of(left.schema)),
        Side("right", tuple(key for _, key, _ in keys), _sent(node, right)),
    )
    by = ", ".join(f"{pair.left} = {pair.right}" for pair in node.on)
    gather = Gather(sides, evaluate, origins)
    provenance = _provenance(node, left.visible, taken)
    return Step(node.id, left.path, f"{node.type} join by {by}", gather=gather, provenance=provenance)


def _provenance(node: JoinNode, left: Sequence[str], taken: Mapping[str, str]) -> Provenance:
    """The keys decide which rows come together; only a full join takes values of the right ones."""
    made = kept(left) | {output: Made((From(name, 1),), "identity") for name, output in taken.items()}
    if node.type == "full":
        made |= {pair.left: Made((From(pair.left), From(pair.right, 1))) for pair in node.on}
    keys = [key for pair in node.on for key in (From(pair.left), From(pair.right, 1))]
    return Provenance(made, {"join": tuple(keys)})


def _sent(node: JoinNode, right: Scope) -> pl.Schema:
    """What of the right side is of use."""
    if node.type not in ("semi", "anti"):
        return schema_of(right.schema)
    used = {ROW, *(pair.right for pair in node.on)}
    return pl.Schema({name: dtype for name, dtype in right.schema.items() if name in used})


def _taken(node: JoinNode, left: Scope, right: Scope) -> dict[str, str]:
    """Right columns that come along → their names behind the join."""
    if node.type in ("semi", "anti"):
        return {}
    keys = {pair.right for pair in node.on}
    taken: dict[str, str] = {}
    for name in right.visible:
        if name in keys:
            continue
        output = f"{name}{node.suffix}" if name in left.schema else name
        if output in left.schema or output in taken.values():
            message = f"Two columns behind the join would be named '{output}'"
            raise left.fault("suffix", "column_exists", message, "choose another suffix, or rename one before")
        taken[name] = output
    if len(left.schema) + len(taken) > MAX_COLUMNS:
        message = f"The join would have more than {MAX_COLUMNS:,} columns"
        raise left.fault("", "too_many_columns", message, "drop some before it")
    return taken


def _common(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """The type in which values of both are compared; None when they have nothing in common."""
    if left == right:
        return left
    if pl.Null in (left, right):
        return right if left == pl.Null else left
    if left.is_integer() and right.is_integer():
        return pl.Int64()
    if not (left.is_numeric() and right.is_numeric()):
        return None
    if left.is_float() or right.is_float():
        return pl.Float64()
    scales = [dtype.scale for dtype in (left, right) if isinstance(dtype, pl.Decimal)]
    return pl.Decimal(38, max(scales))
