"""The `config` of a source node: that of every database, without splits: Snowflake itself splits a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.snowflake.names import parts
from headrace.connectors.sql.relation import TableName
from headrace.connectors.sql.settings import SqlSettings, settings_of, sql_problems
from headrace.ir.problems import Problem

_OWN = "Snowflake splits a result into batches itself"
_REMEDY = "leave 'by' and 'column' out; 'partitions' says how many at most"


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    found = sql_problems("snowflake")(config)
    split = config.get("partitioning")
    if not found and isinstance(split, Mapping):
        for name, unused in (("by", ("auto", "none")), ("column", (None,))):
            if split.get(name, unused[0]) not in unused:
                found.append(Problem(f"config.partitioning.{name}", "bad_option", _OWN, _REMEDY))
    return found


def read_settings(config: Mapping[str, Any]) -> SqlSettings:
    """A node's config, with the run's parameters filled in. Raises SourceError(`bad_option`)."""
    settings = settings_of(config)
    split = settings.partitions
    if split.by not in ("auto", "none") or split.column is not None:
        raise SourceError("bad_option", f"{_OWN}.", f"{_REMEDY[0].upper()}{_REMEDY[1:]}.")
    return settings


def table_of(settings: SqlSettings) -> TableName:
    """The parts of the table's stored name. Raises SourceError(`bad_table`)."""
    name = parts(settings.table or "")
    if name is None:
        raise SourceError("bad_table", f"'{settings.table}' is not a table name.", "Write database.schema.table.")
    return name
