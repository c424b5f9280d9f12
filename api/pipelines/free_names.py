"""Names for a new pipeline and its table that nobody has."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute

from headrace.api.context import RequestContext
from headrace.catalog.models import DataSchema, Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.names import sanitised


def free_names(context: RequestContext, wanted: str) -> tuple[str, str]:
    """Names for the pipeline and its table that no other one has: `orders`, else `orders_2`."""
    table = sanitised(wanted)[:40]
    with context.reading() as catalog:
        pipelines = _names_like(catalog, catalog.pipelines.owned(), Pipeline.name, wanted)
        tables = _names_like(catalog, catalog.schemas.owned(), DataSchema.name, table)
    numbers = ["", *(f"_{number}" for number in range(2, 1000))]
    free = (each for each in numbers if wanted + each not in pipelines and table + each not in tables)
    number = next(free, "")  # else the form says that the names are taken
    return wanted + number, table + number


def _names_like(catalog: TenantCatalog, owned: Select[Any], name: InstrumentedAttribute[str], begin: str) -> set[str]:
    found = catalog.session.execute(owned.with_only_columns(name).where(name.startswith(begin, autoescape=True)))
    return {row[0] for row in found}
