"""Chooses the types of text columns that nothing declares.

A column whose target columns all have one type takes that type, and the source reads it. A column that reaches text, or
columns of several types, stays text, and each target column reads it separately. Where an op or rule needs a value of
it, the cells are read in a type that fits all of them (nearly all where something is computed: the others are error
rows there), and stay text downstream. The choice depends on the document, the tables and all values of a file, so it is
stored with the run's plan: retries and all partitions use the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from headrace.connectors.datatypes import TEXT_TYPES
from headrace.connectors.source import Fitting
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.flows.compile.type_inference.column_trace import ColumnTrace, Origin, SchemaTrace, trace_columns
from headrace.ir import PipelineIR
from headrace.ir.schema import Field, Schema

NEARLY_ALL, MOST = 0.95, 0.5
"""The share of values that must be of a type to compute in it, and to compare them with a number."""
MOST_TRIED = 12
"""The most columns for which another type is tried when the document has problems with the first choice."""


@dataclass(frozen=True, slots=True)
class View:
    """The types in which a text column is read where a value, or a key to compare, is needed (None: as text)."""

    value: Field | None = None
    key: Field | None = None


def one_of(views: Sequence[View]) -> View:
    """The view of a column that holds cells of several, of one in each row."""
    return View(_wide_enough([view.value for view in views]), _wide_enough([view.key for view in views]))


def _wide_enough(types: Sequence[Field | None]) -> Field | None:
    """A type for the values of all these types; None where there is none."""
    fields = [each for each in types if each is not None]
    if len(fields) < len(types):
        return None
    names = {each.data_type for each in fields}
    if len({(each.data_type, each.precision, each.scale) for each in fields}) == 1:
        return fields[0]
    if names <= _INTEGERS:
        return Field(fields[0].name, "bigint")
    return Field(fields[0].name, "double") if names <= _INTEGERS | {"decimal", "double"} else None


_INTEGERS = {"smallint", "integer", "bigint"}

Views = Mapping[str, Mapping[str, View]]
"""By source node and column."""


@dataclass(frozen=True, slots=True)
class InferredTypes:
    """The schema in which each source is read, and the views of columns that stay text."""

    schemas: Mapping[str, Schema]
    views: Views


@dataclass(slots=True)
class _Choices:
    """By origin: the type in which the source reads a column (None: as text), and its view."""

    read: dict[Origin, Field | None] = field(default_factory=dict)
    views: dict[Origin, View] = field(default_factory=dict)


def infer_types(
    ir: PipelineIR,
    schemas: Mapping[str, Schema],
    guessed: Mapping[str, frozenset[str]],
    targets: Mapping[str, Sequence[TargetColumn]],
    names: Mapping[str, Sequence[str]],
    types_of: Callable[[str, Collection[str]], Mapping[str, Fitting]],
    problems_of: Callable[[InferredTypes], int],
) -> InferredTypes:
    """Chooses types for the columns in `guessed`, which nothing declares, by source.

    `names` are the output columns of nodes, where they are known. `types_of(source, columns)` finds the types of all
    values of columns. `problems_of` compiles the document and gives the number of its problems."""
    tracing = trace_columns(ir, schemas, targets, names)
    open_columns = [(node, name) for node, columns in guessed.items() for name in sorted(columns)]
    known = {(node, each.name): each for node, schema in schemas.items() for each in schema}
    needing = [origin for origin in open_columns if _needs_all_values(tracing, origin)]
    found = _looked_at(needing, types_of)
    choices = _Choices()
    for origin in open_columns:
        choices.read[origin], choices.views[origin] = _chosen(tracing, origin, found.get(origin), known, guessed)
    settled = _inferred(schemas, choices)
    problems = problems_of(settled)
    if problems:
        settled = _retried_with_other_types(schemas, choices, problems, problems_of, tracing, found)
    return settled


def _needs_all_values(tracing: SchemaTrace, origin: Origin) -> bool:
    """Whether a type is needed that no target column gives."""
    seen = tracing.columns[origin]
    return seen.looked_at and _common(_types(seen)) is None


def _chosen(
    tracing: SchemaTrace,
    origin: Origin,
    found: Fitting | None,
    known: Mapping[Origin, Field],
    guessed: Mapping[str, frozenset[str]],
) -> tuple[Field | None, View]:
    seen = tracing.columns[origin]
    wanted = _common(_types(seen))
    texts = any(_is_text(column) for column in _columns(seen))
    everywhere = seen.targets.keys() >= tracing.ends.get(origin[0], frozenset())
    if wanted is not None and not texts and not seen.text and everywhere:
        return _named(wanted, origin), View()
    if not seen.targets and (mate := _of_join_partner(tracing, seen, known, guessed)) is not None and not seen.text:
        return _named(mate, origin), View()
    plain = Field(origin[1], found.data_type) if found is not None and _fits(seen, found) else None
    if not seen.targets and not seen.text and not seen.key:
        return plain, View()
    value = wanted or plain
    key = None if texts else wanted  # what reaches no column, or several, is compared as text
    return None, View(_named(value, origin) if value else None, _named(key, origin) if key else None)


def _retried_with_other_types(
    schemas: Mapping[str, Schema],
    choices: _Choices,
    problems: int,
    problems_of: Callable[[InferredTypes], int],
    tracing: SchemaTrace,
    found: Mapping[Origin, Fitting],
) -> InferredTypes:
    """Changes the choice for one column after the other where that leaves fewer problems: text where a type was chosen,
    and the type of most values where text was."""
    open_columns = [origin for origin in choices.read if tracing.columns[origin].looked_at or choices.read[origin]]
    for origin in sorted(open_columns, key=lambda each: each not in found)[:MOST_TRIED]:
        before = choices.read[origin], choices.views[origin]
        if before != (None, View()):
            choices.read[origin], choices.views[origin] = None, View()
        elif origin in found and found[origin].share >= MOST:
            choices.views[origin] = View(Field(origin[1], found[origin].data_type))
        else:
            continue
        left = problems_of(_inferred(schemas, choices))
        if left < problems:
            problems = left
            if not problems:
                break
        else:
            choices.read[origin], choices.views[origin] = before
    return _inferred(schemas, choices)


def _inferred(schemas: Mapping[str, Schema], choices: _Choices) -> InferredTypes:
    def read(node: str, each: Field) -> Field:
        if (node, each.name) not in choices.read:
            return each
        return choices.read[node, each.name] or Field(each.name, "text")

    views: dict[str, dict[str, View]] = {}
    for (node, name), view in choices.views.items():
        if view != View():
            views.setdefault(node, {})[name] = view
    return InferredTypes({node: tuple(read(node, each) for each in schema) for node, schema in schemas.items()}, views)


def _looked_at(
    origins: Sequence[Origin], types_of: Callable[[str, Collection[str]], Mapping[str, Fitting]]
) -> dict[Origin, Fitting]:
    by_node: dict[str, list[str]] = {}
    for node, name in origins:
        by_node.setdefault(node, []).append(name)
    return {
        (node, name): fitting
        for node, names in by_node.items()
        for name, fitting in types_of(node, names).items()
        if fitting.data_type != "text"
    }


def _fits(seen: ColumnTrace, fitting: Fitting | None) -> bool:
    """Whether enough values have the type for the uses of the column. Numbers with leading zeros are taken for codes.
    A column that is only sorted, looked up or loaded must not produce error rows, so all values must have it."""
    if fitting is None:
        return False
    if seen.added or (seen.order and not seen.number and not seen.value):
        return fitting.share == 1 and not fitting.padded
    return fitting.share >= MOST if seen.number else fitting.share >= NEARLY_ALL and not fitting.padded


def _columns(seen: ColumnTrace) -> Iterator[TargetColumn]:
    for columns in seen.targets.values():
        yield from columns


def _is_text(column: TargetColumn) -> bool:
    """Whether the column takes cells as text: text types, and types that only the database can read."""
    return column.field.data_type in TEXT_TYPES or column.takes(pl.String())


def _types(seen: ColumnTrace) -> list[Field]:
    return [column.field for column in _columns(seen) if not _is_text(column)]


def _common(types: Sequence[Field]) -> Field | None:
    """The common type; None if they have several, or if there are none."""
    sizes = {(each.data_type, each.precision, each.scale) for each in types}
    return types[0] if len(sizes) == 1 else None


def _of_join_partner(
    tracing: SchemaTrace, seen: ColumnTrace, known: Mapping[Origin, Field], guessed: Mapping[str, frozenset[str]]
) -> Field | None:
    """The type of a column that it is joined with: its declared type, or that of its target columns."""
    for mate in seen.mates:
        if mate[1] not in guessed.get(mate[0], frozenset()):
            return known.get(mate)
        if (wanted := _common(_types(tracing.columns[mate]))) is not None:
            return wanted
    return None


def _named(wanted: Field, origin: Origin) -> Field:
    return Field(origin[1], wanted.data_type, wanted.precision, wanted.scale)
