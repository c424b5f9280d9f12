"""Inspects the source of a replication: the tables that match the document, and the definition of each."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

from headrace.connectors.connector import Connection, Connector, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import of_type
from headrace.connectors.source import StreamFound
from headrace.flows.replication.found import FoundTable
from headrace.ir.problems import Problem
from headrace.ir.replication import ReplicationIR

MAX_TABLES = 5_000
"""The most tables of one replication: each has its own pipeline and schema."""

_AT_ONCE = 4
"""Sessions with the source at a time."""


def unfit(connection_type: str) -> Problem | None:
    """Why a connection of that type cannot be replicated; None where it can."""
    found = of_type(connection_type)
    if found is None or found.open is None or found.streams is None:
        message = f"A connection of type {connection_type} cannot list its streams"
        return Problem("connection", "not_listed", message, "make a pipeline for each table")
    if found.files:
        message = f"A connection of type {connection_type} lists files, and a replication copies tables"
        return Problem("connection", "lists_files", message, "make a pipeline: a pattern takes many files")
    return None


def discover(
    connection: Connection,
    surroundings: Surroundings,
    document: ReplicationIR,
    only: Collection[str] | None = None,
) -> list[FoundTable]:
    """The tables that match the document, by name, or those of them in `only`; changes nothing. A table that cannot be
    inspected has an `error`. Raises SourceError if none can be, and for more than MAX_TABLES."""
    if (problem := unfit(connection.type)) is not None:
        raise SourceError(problem.code, f"{problem.message}.", problem.hint)
    connector = of_type(connection.type)
    assert connector is not None, "an unknown type is unfit"
    context = Context(connection, surroundings)
    listed = [each for each in connector.listed(context) if document.sources.has(each.name)]
    if only is not None:
        listed = [each for each in listed if each.name in only]
    if len(listed) > MAX_TABLES:
        raise SourceError(
            "too_many_tables",
            f"{len(listed):,} tables are of the patterns in sources.include; a replication copies at most "
            f"{MAX_TABLES:,}.",
            "Make several replications of it.",
        )
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="discover") as pool:
        return list(pool.map(lambda each: _looked_at(connector, context, each), listed))


def _looked_at(connector: Connector, context: Context, listed: StreamFound) -> FoundTable:
    try:
        return FoundTable.of(connector.described_as(context, listed))
    except SourceError as error:
        return FoundTable.unreadable(listed, error)
