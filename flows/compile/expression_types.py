"""Types of expressions over columns, found by polars and cached for the process.

A query costs much more than one expression in it, so many expressions are typed at once. A document has mostly the same
expressions each time it is saved, so the type of an expression over columns of given types is cached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

from headrace.ir.sql.expressions.tree import CONSTANT_TEXT

Columns = Mapping[str, pl.DataType]

_REMEMBERED = 8_192
_LONGEST = 2_000
"""Longest serialized expression, in bytes, that is cached."""
_AT_ONCE = 100
_AS_WRITTEN = pl.QueryOptFlags.none()
_SET = OrderedDict.__setitem__


class Shape:
    """The columns before or after a step. The frame of no rows, which is much cheaper to change than to make, is made
    when the first step of a chain needs one and passed on."""

    __slots__ = ("_frame", "columns")

    def __init__(self, columns: Columns, frame: pl.DataFrame | None = None) -> None:
        self.columns, self._frame = columns, frame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Shape:
        """The shape of a frame without rows."""
        return cls(dict(zip(frame.columns, frame.dtypes, strict=True)), frame)

    @property
    def frame(self) -> pl.DataFrame:
        """A frame with these columns and no rows."""
        if self._frame is None:
            self._frame = pl.DataFrame(schema=self.columns)
        return self._frame

    def changed(self, columns: Columns) -> Shape:
        """The shape with these columns added or changed."""
        frame = None if self._frame is None else self._frame.clone()
        if frame is not None:
            for name, dtype in columns.items():
                empty = pl.Series(name, [], dtype)
                at = frame.get_column_index(name) if name in self.columns else frame.width
                frame = frame.replace_column(at, empty) if at < frame.width else frame.insert_column(at, empty)
        return Shape({**self.columns, **columns}, frame)


class _Key(NamedTuple):
    expression: bytes
    columns: tuple[tuple[str, pl.DataType | None], ...]


_known: dict[_Key, pl.DataType] = {}


def types_of(expressions: Sequence[pl.Expr], schema: Columns) -> pl.Schema:
    """The names and types of expressions over these columns. Raises polars errors.

    The query has only the columns that they read: with a wide table, making the frame is most of the work."""
    if any(each.meta.has_multiple_outputs() for each in expressions):
        return pl.LazyFrame(schema=schema).select(expressions).collect(optimizations=_AS_WRITTEN).schema
    keys = [_key(each, schema) for each in expressions]
    names = [each.meta.output_name() for each in expressions]
    if len({*names}) == len(names):
        # Another thread may clear the cache at any moment.
        known = [dtype for key in keys if key is not None and (dtype := _known.get(key)) is not None]
        if len(known) == len(keys):
            return with_columns(dict(zip(names, known, strict=True)), {})
    found = _asked(expressions, schema)
    _remember(zip(keys, found.values(), strict=True))
    return found


def learn(expressions: Iterable[pl.Expr], schema: Columns) -> None:
    """Finds the types of many expressions at once and caches them for `types_of`. Expressions with faults, or over
    columns that do not exist yet, are left out."""
    new: dict[_Key, pl.Expr] = {}
    for each in expressions:
        if not each.meta.has_multiple_outputs() and all(_dtype(name, schema) for name in each.meta.root_names()):
            key = _key(each, schema)
            if key is not None and key not in _known:
                new.setdefault(key, each)
    listed = [*new.items()]
    for start in range(0, len(listed), _AT_ONCE):
        some = listed[start : start + _AT_ONCE]
        try:
            found = _asked([each.alias(str(number)) for number, (_, each) in enumerate(some)], schema)
        except PolarsError:
            continue
        _remember(zip((key for key, _ in some), found.values(), strict=True))


def with_columns(before: Columns, changed: Columns) -> pl.Schema:
    """The columns with those added or changed. Bypasses the checks of pl.Schema for every column, which are most of the
    work for a wide table."""
    after = pl.Schema()
    for columns in (before, changed):
        for name, dtype in columns.items():
            _SET(after, name, dtype)
    return after


def schema_of(columns: Columns) -> pl.Schema:
    """The columns as a pl.Schema."""
    return columns if isinstance(columns, pl.Schema) else with_columns(columns, {})


def _asked(expressions: Sequence[pl.Expr], schema: Columns) -> pl.Schema:
    names = dict.fromkeys(name for each in expressions for name in each.meta.root_names())
    read = {name: dtype for name in names if (dtype := _dtype(name, schema)) is not None}
    return pl.LazyFrame(schema=read).select(expressions).collect(optimizations=_AS_WRITTEN).schema


def _dtype(name: str, schema: Columns) -> pl.DataType | None:
    return pl.String() if name == CONSTANT_TEXT else schema.get(name)


def _key(expression: pl.Expr, schema: Columns) -> _Key | None:
    """The cache key; None for an expression that is too long or cannot be serialized, such as a Python function."""
    try:
        text = expression.meta.undo_aliases().meta.serialize(format="binary")
    except Exception:  # noqa: BLE001 (whatever pickles raise)
        return None
    if len(text) > _LONGEST:
        return None
    return _Key(text, tuple((name, schema.get(name)) for name in expression.meta.root_names()))


def _remember(found: Iterable[tuple[_Key | None, pl.DataType]]) -> None:
    if len(_known) > _REMEMBERED:
        _known.clear()
    _known.update((key, dtype) for key, dtype in found if key is not None)
