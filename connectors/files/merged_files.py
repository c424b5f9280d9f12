"""The columns of several files as the columns of one source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.column_names import Matching, match_names
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import missing_column
from headrace.connectors.files.delimited.infer import widen
from headrace.connectors.files.formats.base import Inspection, Piece
from headrace.ir.schema import Field, Schema


@dataclass(frozen=True, slots=True)
class MergedFiles:
    """`files` by name, each with the columns it lacks; the rest as in Discovery."""

    files: Mapping[str, Inspection]
    schema: Schema
    sure: frozenset[str]
    guessed: frozenset[str]
    notes: tuple[str, ...]


def merge_files(
    files: Mapping[str, Inspection], declared: Schema, *, missing: str | None, matching: Matching = "caseInsensitive"
) -> MergedFiles:
    """One schema for all files: the declared one, or columns wide enough for all files.

    `missing` says what happens to a column that some files lack: `null` or `fail`; None: null if it is declared and the
    file has another declared one, else fail, because the file may be the wrong one. Raises SourceError with its `file`.
    """
    first = next(iter(files))
    schema = declared or files[first].schema
    for name, seen in files.items():
        schema = (
            schema if declared else _merge_schema(schema, seen.schema, name, first, matching, grows=missing == "null")
        )
    lacking = {name: _missing_columns(schema, seen, matching) for name, seen in files.items()}
    notes = [note for seen in files.values() for note in seen.notes]
    for name, lacks in lacking.items():
        if not lacks:
            continue
        nowhere = [each for each in lacks if all(each in others for others in lacking.values())]
        if nowhere or missing == "fail" or (missing is None and len(lacks) == len(schema)):
            raise _with_file(missing_column((nowhere or lacks)[0], files[name].columns, name), name)
        notes.append(f"{name} lacks {', '.join(lacks)}: null in all its rows")
    placed = {name: _with_missing(seen, lacking[name]) for name, seen in files.items()}
    names = [field.name for field in schema]
    guessed = (
        frozenset()
        if declared
        else frozenset(names).intersection(*(_guessed(names, f, matching) for f in placed.values()))
    )
    sure = frozenset(field.name for field in schema if _sure(field, placed))
    return MergedFiles(placed, schema, sure, guessed, tuple(notes))


def _merge_schema(schema: Schema, other: Schema, name: str, first: str, matching: Matching, *, grows: bool) -> Schema:
    places = match_names([field.name for field in schema], [field.name for field in other], matching)
    lacks = [field.name for field in schema if field.name not in places]
    taken = set(places.values())
    more = [field for place, field in enumerate(other) if place not in taken]
    if (lacks or more) and not grows:
        names = [field.name for field in more]
        differences = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has {', '.join(names)} besides"] * bool(names)
        error = SourceError(
            "columns_differ",
            f"{name} has other columns than {first}: it {' and '.join(differences)}.",
            "Declare `fields` on the source node, or set options.missingColumns to null to fill up what a file lacks.",
        )
        raise _with_file(error, name)
    wide = [
        Field(field.name, widen(field.data_type, other[places[field.name]].data_type))
        if field.name in places and field != replace(other[places[field.name]], name=field.name)
        else field
        for field in schema
    ]
    return (*wide, *more)


def _missing_columns(schema: Schema, seen: Inspection, matching: Matching) -> tuple[str, ...]:
    if seen.lacking:
        return seen.lacking
    there = match_names([field.name for field in schema], [field.name for field in seen.schema], matching)
    return tuple(field.name for field in schema if field.name not in there)


def _with_missing(seen: Inspection, lacking: tuple[str, ...]) -> Inspection:
    """The inspection with its missing columns noted in each piece's location."""
    if seen.lacking or not lacking:
        return seen
    pieces = [Piece(piece.rows, {**piece.location, "lacking": list(lacking)}) for piece in seen.pieces]
    return replace(seen, pieces=pieces, lacking=lacking)


def _guessed(names: list[str], seen: Inspection, matching: Matching) -> frozenset[str]:
    """The columns whose type this file does not determine; files of another format may."""
    return frozenset(match_names(names, sorted(seen.guessed), matching)) | frozenset(seen.lacking)


def _sure(field: Field, files: Mapping[str, Inspection]) -> bool:
    """Whether all values of all files can be read as the field."""
    return field.data_type in ALWAYS_READABLE or all(
        field.name in seen.lacking or (field.name in seen.sure and field in seen.schema) for seen in files.values()
    )


def _with_file(error: SourceError, name: str) -> SourceError:
    error.file = name
    return error
