"""The tables of a tenant as the catalog has them, to type documents that look up rows in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn, cast

from headrace.catalog.models import SchemaField
from headrace.catalog.repositories.schemas import SchemaRepository
from headrace.flows.compile import ReferenceTable
from headrace.ir.schema import DataType, Field


class CatalogTables(Mapping[str, ReferenceTable]):
    """A mapping by qualified name. The catalog is queried when a table is accessed; tables are never read."""

    def __init__(self, schemas: SchemaRepository) -> None:
        self._schemas = schemas
        self._asked: dict[str, str] | None = None

    def __getitem__(self, name: str) -> ReferenceTable:
        schema = self._schemas.get(self._ids[name])
        if schema is None:
            raise KeyError(name)
        return ReferenceTable(name, tuple(_field(field) for field in schema.fields), _reads_no_rows)

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


def _reads_no_rows(columns: Sequence[str], keys: int) -> NoReturn:
    raise AssertionError("a document is typed without reading rows")
