"""The `config` of a source node: that of every database, and the limit of bytes that a query may bill."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field

from headrace.connectors.bigquery.names import parts
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.sql.relation import TableName
from headrace.connectors.sql.settings import SqlSettings, settings_as, sql_problems
from headrace.ir.problems import Problem

_OWN = "BigQuery splits what is read into streams itself"
_REMEDY = "leave 'by' and 'column' out; 'partitions' says how many at most"
_NAME_REMEDY = "write project.dataset.table, dataset.table or table; read several tables (*) with a query"


class BigQuerySettings(SqlSettings):
    """The source config of BigQuery."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    maximum_bytes_billed: int | None = Field(default=None, gt=0)
    """A query that would bill more bytes fails before it is executed, and costs nothing."""


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    found = sql_problems("bigquery", BigQuerySettings)(config)
    table, split = config.get("table"), config.get("partitioning")
    if not found and isinstance(table, str) and not PARAMETER.search(table) and parts(table) is None:
        found.append(Problem("config.table", "bad_table", f"'{table}' is not a table name", _NAME_REMEDY))
    if not found and isinstance(split, Mapping):
        for name, unused in (("by", ("auto", "none")), ("column", (None,))):
            if split.get(name, unused[0]) not in unused:
                found.append(Problem(f"config.partitioning.{name}", "bad_option", _OWN, _REMEDY))
    return found


def read_settings(config: Mapping[str, Any]) -> BigQuerySettings:
    """A node's config, with the run's parameters filled in. Raises SourceError(`bad_option`)."""
    settings = settings_as(BigQuerySettings, config)
    split = settings.partitions
    if split.by not in ("auto", "none") or split.column is not None:
        raise SourceError("bad_option", f"{_OWN}.", f"{_REMEDY[0].upper()}{_REMEDY[1:]}.")
    return settings


def table_of(settings: SqlSettings) -> TableName:
    """The parts of the table's name. Raises SourceError(`bad_table`)."""
    name = parts(settings.table or "")
    if name is None:
        remedy = f"{_NAME_REMEDY[0].upper()}{_NAME_REMEDY[1:]}."
        raise SourceError("bad_table", f"'{settings.table}' is not a table name.", remedy)
    return name
