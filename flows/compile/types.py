"""What expressions make of columns: asked of polars once for each, many at a time.

A query costs much more than one expression in it, and a document has the same expressions again each time it is saved:
so what is known of an expression over columns of these types is remembered, for the process.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import polars as pl
from polars.exceptions import PolarsError

Columns = Mapping[str, pl.DataType]

_REMEMBERED = 8_192
_LONGEST = 2_000
"""Bytes of an expression; what is longer is asked anew."""
_AT_ONCE = 100
_AS_WRITTEN = pl.QueryOptFlags.none()
_SET = OrderedDict.__setitem__


class Shape:
    """Columns on their way through a chain of steps. A frame of no rows, which is much more work to make than to
    change, is made when the first step wants one and handed on."""

    __slots__ = ("_frame", "columns")

    def __init__(self, columns: Columns, frame: pl.DataFrame | None = None) -> None:
        self.columns, self._frame = columns, frame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Shape:
        """That of a frame without rows."""
        return cls(dict(zip(frame.columns, frame.dtypes, strict=True)), frame)

    @property
    def frame(self) -> pl.DataFrame:
        """No rows of these columns."""
        if self._frame is None:
            self._frame = pl.DataFrame(schema=self.columns)
        return self._frame

    def changed(self, columns: Columns) -> Shape:
        """With these added or changed."""
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
    """What expressions that each give one column make of these columns: names and types. Raises polars errors.

    Asked of a frame with nothing but the columns they read: in a wide table a frame is most of the work."""
    if any(each.meta.has_multiple_outputs() for each in expressions):
        return pl.LazyFrame(schema=schema).select(expressions).collect(optimizations=_AS_WRITTEN).schema
    keys = [_key(each, schema) for each in expressions]
    names = [each.meta.output_name() for each in expressions]
    if len({*names}) == len(names):
        # Another thread may forget all of them at any moment.
        known = [dtype for key in keys if key is not None and (dtype := _known.get(key)) is not None]
        if len(known) == len(keys):
            return with_columns(dict(zip(names, known, strict=True)), {})
    found = _asked(expressions, schema)
    _remember(zip(keys, found.values(), strict=True))
    return found


def learn(expressions: Iterable[pl.Expr], schema: Columns) -> None:
    """Asks for the types of many at once, so that `types_of` knows them. What is wrong with one of them is left to it,
    and so is what reads columns that are not there yet."""
    new: dict[_Key, pl.Expr] = {}
    for each in expressions:
        if not each.meta.has_multiple_outputs() and all(name in schema for name in each.meta.root_names()):
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
    """The columns with those added or changed. (What pl.Schema does for every column, whoever asks, is most of the work
    for a wide table.)"""
    after = pl.Schema()
    for columns in (before, changed):
        for name, dtype in columns.items():
            _SET(after, name, dtype)
    return after


def schema_of(columns: Columns) -> pl.Schema:
    """The same as polars has it."""
    return columns if isinstance(columns, pl.Schema) else with_columns(columns, {})


def _asked(expressions: Sequence[pl.Expr], schema: Columns) -> pl.Schema:
    names = dict.fromkeys(name for each in expressions for name in each.meta.root_names())
    read = {name: schema[name] for name in names if name in schema}
    return pl.LazyFrame(schema=read).select(expressions).collect(optimizations=_AS_WRITTEN).schema


def _key(expression: pl.Expr, schema: Columns) -> _Key | None:
    """None for what is not worth remembering, or cannot be written down, such as a function of Python."""
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
