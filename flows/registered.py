"""The tables of a tenant's schemas as the catalog knows them: enough to type a document that looks rows up in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn, cast

from catalog.models import SchemaField
from catalog.repositories.schemas import SchemaRepository
from flows.compile import ReferenceTable
from ir.datatypes import DataType
from ir.schema import Field


class RegisteredTables(Mapping[str, ReferenceTable]):
    """By qualified name. The catalog is asked when a document names a table, and no table is ever read."""

    def __init__(self, schemas: SchemaRepository) -> None:
        self._schemas = schemas
        self._asked: dict[str, str] | None = None

    def __getitem__(self, name: str) -> ReferenceTable:
        schema = self._schemas.get(self._ids[name])
        if schema is None:
            raise KeyError(name)
        return ReferenceTable(name, tuple(_field(field) for field in schema.fields), _unread)

    def __contains__(self, name: object) -> bool:
        return name in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def _ids(self) -> dict[str, str]:
        if self._asked is None:
            self._asked = self._schemas.tables()
        return self._asked


def _field(field: SchemaField) -> Field:
    precision = field.length if field.data_type == "varchar" else field.precision
    return Field(field.name, cast("DataType", field.data_type), precision, field.scale)


def _unread(columns: Sequence[str], keys: int) -> NoReturn:
    raise AssertionError("a document is typed without reading rows")
