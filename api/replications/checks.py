"""Checks of a replication's document before it is stored or planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from headrace.api.errors import ApiError
from headrace.catalog.models import Connector
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.connectors import chosen
from headrace.connectors.registry import config_problems, of_type
from headrace.flows.replication.discover import unfit
from headrace.ir.problems import Problem, nearest
from headrace.ir.replication import ReplicationIR, parse_replication
from headrace.ir.replication.settings import TableSettings


def checked(catalog: TenantCatalog, document: dict[str, Any]) -> tuple[ReplicationIR, Connector]:
    """The document and the connector that it names. Raises ApiError 400 with every problem."""
    parsed = parse_replication(document)
    if parsed.document is None:
        raise ApiError(400, "The replication is not valid", details=parsed.problems)
    records = catalog.connectors.all()
    connector = chosen(parsed.document.connection, records)
    if connector is None:
        message = f"There is no connector '{parsed.document.connection}'"
        hint = nearest(parsed.document.connection, [each.name for each in records])
        raise ApiError(400, message, details=[Problem("connection", "unknown_connection", message, hint)])
    problem = unfit(connector.type)
    problems = [problem] if problem is not None else list(_config_problems(parsed.document, connector.type))
    if problems:
        raise ApiError(400, "The replication is not valid", details=problems)
    return parsed.document, connector


def _config_problems(document: ReplicationIR, connector_type: str) -> Iterator[Problem]:
    """The problems of source settings that can be found before tables are known."""
    found = of_type(connector_type)
    assert found is not None, "an unknown type is unfit"
    named: list[tuple[str, TableSettings]] = [("defaults", document.defaults)]
    named += [(f"overrides[{index}]", each) for index, each in enumerate(document.overrides)]
    for path, settings in named:
        if "config" in settings.model_fields_set:
            config = {"table": "t", **settings.config}
            for each in config_problems(found.name, config):
                yield replace(each, path=f"{path}.{each.path}")
        if settings.cursor is not None:
            cursor = settings.cursor.model_dump(mode="json", by_alias=True, exclude_none=True)
            for each in config_problems(found.name, {"table": "t", "cursor": cursor}):
                if each.path.startswith("config.cursor."):
                    yield replace(each, path=f"{path}.{each.path.removeprefix('config.')}")
