"""The columns of a target table, from those of the source table: types, keys, comments, and what a target table
cannot have as its source has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from headrace.catalog.schemas.alter import possible_loss
from headrace.catalog.schemas.names import FieldDefinition
from headrace.flows.replication.found import FoundColumn
from headrace.ir.schema import DataType

_MAX_VARCHAR = 10_485_760
_TEXTS = frozenset(
    (
        *("text", "varchar", "character", "char", "bpchar", "name", "citext", "string", "nvarchar", "nchar", "clob"),
        *("tinytext", "mediumtext", "longtext"),
    )
)
"""Types that are text in the source too, by their first word."""

_NUMERICS = frozenset(("numeric", "decimal", "bignumeric"))
"""What sources call exact numbers of a precision and a scale."""

HISTORY: Mapping[str, DataType] = {"valid_from": "timestamptz", "valid_to": "timestamptz", "is_current": "boolean"}
"""The columns that the load mode scd2 fills."""


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """A changed column of the source. `before` and `after` are its types, None if it did or does not exist."""

    name: str
    before: str | None
    after: str | None


def definition(column: FoundColumn, name: str, *, key: bool) -> FieldDefinition:
    """The column of the table. `key`: it is a part of the primary key."""
    kind: str = column.data_type
    precision, scale = (column.precision, column.scale) if kind == "decimal" else (None, None)
    if (wide := _wide(column)) is not None:
        kind, (precision, scale) = "decimal", wide
    elif _unlimited(column):
        kind = "decimal"
    length = column.precision if kind == "varchar" else None
    if length is not None and not 1 <= length <= _MAX_VARCHAR:
        kind, length = "text", None
    return FieldDefinition(
        name=name,
        display_name=_one_line(column.name) or name,
        data_type=kind,
        length=length,
        precision=precision,
        scale=scale,
        is_nullable=not key,
        is_primary_key=key,
        description=column.comment[:4000],
    )


def read_as_text(column: FoundColumn) -> bool:
    """Whether the source has to read a decimal as text, because its digits are not limited: the table's unlimited
    numeric accepts the text."""
    return column.data_type == "decimal" and column.precision is None


def _wide(column: FoundColumn) -> tuple[int, int] | None:
    """Precision and scale of a numeric that the source reads as text, because it has more digits than a decimal."""
    name, _, rest = column.native.lower().removesuffix(" zerofill").removesuffix(" unsigned").partition("(")
    if column.data_type != "text" or name not in _NUMERICS or not rest.endswith(")"):
        return None
    sizes = [each.strip() for each in rest[:-1].split(",")]
    if len(sizes) != 2 or not all(map(str.isdecimal, sizes)):
        return None
    precision, scale = (int(each) for each in sizes)
    return (precision, scale) if scale <= precision else None


def _unlimited(column: FoundColumn) -> bool:
    """Whether it is a number of up to 77 digits that the source reads as text."""
    return column.data_type == "text" and column.native.lower() == "bignumeric"


def history() -> list[FieldDefinition]:
    """The columns of a history."""
    return [FieldDefinition(name, name, kind) for name, kind in HISTORY.items()]


def notes_of(columns: Iterable[FoundColumn]) -> list[str]:
    """The properties that the target table cannot have, as sentences."""
    found, unsure = [], []
    for each in columns:
        word = each.native.lower().split("(")[0].strip().split(" ")[0]
        if (
            each.data_type == "text"
            and each.native
            and word not in _TEXTS
            and _wide(each) is None
            and not _unlimited(each)
        ):
            found.append(f"{each.name}: {each.native} is held as text, as the source writes it")
        elif each.data_type == "json" and word == "json":
            found.append(
                f"{each.name}: json is held as jsonb: spaces, the order of keys and repeated keys are not kept"
            )
        elif not each.sure and not read_as_text(each):
            unsure.append(f"{each.name} ({each.type_text})")
    if unsure:
        found.append(
            f"{', '.join(unsure)}: a value without a counterpart (NaN, infinity, 24:00, zero dates, nanoseconds) makes "
            "its row an error"
        )
    return found


def changes(before: Sequence[FoundColumn], now: Sequence[FoundColumn]) -> list[ColumnChange]:
    """The changes of the source, in the order of its columns; removed columns last."""
    old, new = ({each.name: each for each in columns} for columns in (before, now))
    found = [
        ColumnChange(name, old[name].type_text if name in old else None, each.type_text)
        for name, each in new.items()
        if name not in old or _type(old[name]) != _type(each)
    ]
    return found + [ColumnChange(name, each.type_text, None) for name, each in old.items() if name not in new]


def widened(field: FieldDefinition, wanted: FieldDefinition) -> FieldDefinition | None:
    """The field with the wanted type, where it keeps every value that it can have now; None where that is not so or
    nothing is different."""
    after = replace(
        field, data_type=wanted.data_type, length=wanted.length, precision=wanted.precision, scale=wanted.scale
    )
    return after if after != field and possible_loss(field, after) is None else None


def _type(column: FoundColumn) -> tuple[object, ...]:
    return column.data_type, column.precision, column.scale, column.native


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:200]
