"""The tables found in a source, as JSON: the catalog keeps them until their pipelines are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, TypeAdapter

from headrace.connectors.errors import SourceError
from headrace.connectors.source import ColumnDetail, StreamFound
from headrace.ir.schema import DataType


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class FoundColumn(_Found):
    """A column: its field, and the server's metadata. `native` is empty if the server has none."""

    name: str
    data_type: DataType
    precision: int | None = None
    scale: int | None = None
    native: str = ""
    sure: bool = True
    nullable: bool = True
    comment: str = ""

    @property
    def type_text(self) -> str:
        """Its type for people, as the server writes it where it does."""
        return self.native or self.data_type


class FoundError(_Found):
    """The reason why a table could not be inspected."""

    code: str
    message: str
    hint: str = ""


class FoundTable(_Found):
    """A table or view. `columns` is empty if it could not be inspected; `error` is the reason. `sampled` as in
    StreamFound."""

    name: str
    kind: str = "table"
    settings: dict[str, Any] = {}
    rows: int | None = None
    key: tuple[str, ...] = ()
    comment: str = ""
    sampled: int | None = None
    columns: tuple[FoundColumn, ...] = ()
    error: FoundError | None = None

    @classmethod
    def of(cls, found: StreamFound) -> Self:
        """An inspected table."""
        details: Mapping[str, ColumnDetail] = found.details
        columns = []
        for each in found.fields or ():
            more = details.get(each.name, ColumnDetail(""))
            columns.append(
                FoundColumn(
                    name=each.name,
                    data_type=each.data_type,
                    precision=each.precision,
                    scale=each.scale,
                    native=more.native,
                    sure=more.sure,
                    nullable=more.nullable,
                    comment=more.comment,
                )
            )
        return cls(
            name=found.name,
            kind=found.kind,
            settings=dict(found.settings),
            rows=found.rows,
            key=found.key,
            comment=found.comment,
            sampled=found.sampled,
            columns=tuple(columns),
        )

    @classmethod
    def unreadable(cls, listed: StreamFound, error: SourceError) -> Self:
        """An existing table that could not be inspected."""
        said = FoundError(code=error.code, message=error.message, hint=error.hint)
        return cls(name=listed.name, kind=listed.kind, settings=dict(listed.settings), rows=listed.rows, error=said)


FOUND_TABLES: TypeAdapter[tuple[FoundTable, ...]] = TypeAdapter(tuple[FoundTable, ...])
"""Reads and writes them as JSON."""
