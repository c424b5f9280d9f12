"""Join nodes: both inputs are sent into buckets by the hash of their keys, and each bucket is joined separately."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from headrace.connectors.datatypes import field_of_polars
from headrace.connectors.source import ROW
from headrace.flows.compile.casting import read_as
from headrace.flows.compile.expression_types import schema_of
from headrace.flows.compile.provenance import From, Made, Provenance, kept
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.shuffle import Shuffle, ShuffleSide, parent
from headrace.flows.compile.step import Step
from headrace.ir.nodes import JoinNode

_RIGHT_ROW = "__right"
MAX_COLUMNS = 5_000
"""Limit for chains of joins, which multiply columns; a PostgreSQL table has 1,600 at most."""


def compile_join(
    node: JoinNode, left: Scope, right: Scope, *, raw: tuple[Collection[str], Collection[str]] = ((), ())
) -> Step:
    """The step that gathers and joins both sides. `raw` are, by side, the columns that hold unparsed cells: as keys
    they are read in the type of the other side's key, and match nothing where they cannot be. Raises PlanError for keys
    that do not exist or cannot be compared, and for two output columns of one name."""
    keys: list[tuple[pl.Expr, pl.Expr, pl.DataType]] = []
    for position, pair in enumerate(node.on):
        one, other = left.column(pair.left, f"on[{position}].left"), right.column(pair.right, f"on[{position}].right")
        mine, theirs_read = pl.col(pair.left), pl.col(pair.right)
        if one == pl.String and other != pl.String and pair.left in raw[0]:
            mine, one = read_as(mine, pl.String(), field_of_polars(pair.left, other)), other
        elif other == pl.String and one != pl.String and pair.right in raw[1]:
            theirs_read, other = read_as(theirs_read, pl.String(), field_of_polars(pair.right, one)), one
        common = _common(one, other)
        if common is None:
            message = f"'{pair.left}' is {one} and '{pair.right}' is {other}: they cannot be compared"
            raise left.fault(f"on[{position}]", "impossible_cast", message, "cast one of them before the join")
        keys.append((mine.cast(common), theirs_read.cast(common), common))
    taken = _taken(node, left, right)
    names = [f"__k{position}" for position in range(len(keys))]
    ours = [key.alias(name) for name, (key, _, _) in zip(names, keys, strict=True)]
    theirs = [key.alias(name) for name, (_, key, _) in zip(names, keys, strict=True)]
    # A row that only the right side has gets its keys under the names of the left side.
    filled = [
        pl.coalesce(key, name).alias(pair.left) for pair, name, (key, _, _) in zip(node.on, names, keys, strict=True)
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

    def parents(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        mine = frames[0].select(*ours, pl.col(ROW).alias(parent(0)))
        others = frames[1].select(*theirs, pl.col(ROW).alias(parent(1)))
        if node.type in ("semi", "anti"):
            return mine.join(others.select(names), on=names, how=node.type).sort(parent(0)).select(parent(0))
        made = mine.join(others, on=names, how=node.type, coalesce=True)
        return made.sort(parent(0), parent(1), nulls_last=True).select(parent(0), parent(1))

    origins: dict[str, tuple[str, ...]] = {name: (name,) for name in left.visible}
    origins |= {pair.left: (pair.left, pair.right) for pair in node.on}
    origins |= {output: (name,) for name, output in taken.items()}
    sides = (
        ShuffleSide("left", tuple(key for key, _, _ in keys), schema_of(left.schema)),
        ShuffleSide("right", tuple(key for _, key, _ in keys), _sent(node, right)),
    )
    by = ", ".join(f"{pair.left} = {pair.right}" for pair in node.on)
    shuffle = Shuffle(sides, evaluate, origins, parents=parents)
    provenance = _provenance(node, left.visible, taken)
    return Step(node.id, left.path, f"{node.type} join by {by}", shuffle=shuffle, provenance=provenance)


def _provenance(node: JoinNode, left: Sequence[str], taken: Mapping[str, str]) -> Provenance:
    """The keys decide which rows are joined; only a full join takes values of the right keys."""
    made = kept(left) | {output: Made((From(name, 1),), "identity") for name, output in taken.items()}
    if node.type == "full":
        made |= {pair.left: Made((From(pair.left), From(pair.right, 1))) for pair in node.on}
    keys = [key for pair in node.on for key in (From(pair.left), From(pair.right, 1))]
    return Provenance(made, {"join": tuple(keys)})


def _sent(node: JoinNode, right: Scope) -> pl.Schema:
    """The columns of the right side that are needed."""
    if node.type not in ("semi", "anti"):
        return schema_of(right.schema)
    used = {ROW, *(pair.right for pair in node.on)}
    return pl.Schema({name: dtype for name, dtype in right.schema.items() if name in used})


def _taken(node: JoinNode, left: Scope, right: Scope) -> dict[str, str]:
    """Right columns of the output → their output names."""
    if node.type in ("semi", "anti"):
        return {}
    keys = {pair.right for pair in node.on}
    taken: dict[str, str] = {}
    for name in right.visible:
        if name in keys:
            continue
        output = f"{name}{node.suffix}" if name in left.schema else name
        if output in left.schema or output in taken.values():
            message = f"Two columns after the join would be named '{output}'"
            raise left.fault("suffix", "column_exists", message, "choose another suffix, or rename one before")
        taken[name] = output
    if len(left.schema) + len(taken) > MAX_COLUMNS:
        message = f"The join would have more than {MAX_COLUMNS:,} columns"
        raise left.fault("", "too_many_columns", message, "drop some before it")
    return taken


def _common(left: pl.DataType, right: pl.DataType) -> pl.DataType | None:
    """The type in which values of both are compared; None when they cannot be compared."""
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
