"""The databases of a pipeline's targets: the warehouse, or those of connectors that targets name in `connection`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from headrace.catalog.runs.records import RunPipeline
from headrace.connectors.connector import Connection
from headrace.connectors.errors import TargetError
from headrace.connectors.network.egress import Network
from headrace.connectors.postgresql.connections import Database, key_of
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.postgresql.identity import Identity, identity_of
from headrace.connectors.postgresql.named_database import named_database
from headrace.ir.secrets import connection_credentials


@dataclass(frozen=True, slots=True)
class TargetDatabases:
    """Where the targets of one version of a pipeline are. Nothing is dialled to know that."""

    by_target: Mapping[str, Database]
    """By target node."""
    home: Database
    """The database for data that belongs to the run and not to a single target: rows exchanged between stages,
    measurements of dataset rules, failed rows that the source cannot read again. The warehouse if a target is there,
    else the database of the first target."""

    @property
    def all(self) -> tuple[Database, ...]:
        """Each database once, the home first."""
        return distinct((self.home, *self.by_target.values()))


def distinct(databases: Sequence[Database]) -> tuple[Database, ...]:
    """Each database once, in their order."""
    found: dict[str, Database] = {}
    for each in databases:
        found.setdefault(key_of(each), each)
    return tuple(found.values())


def target_databases(pipeline: RunPipeline, warehouse: str, networks: Sequence[Network]) -> TargetDatabases:
    """The databases of the targets; `warehouse` is the libpq URL of the tenant's tables. Raises TargetError for a
    connector that does not exist or cannot be a target's."""
    found: dict[str, Database] = {}
    for node, named in target_connections(pipeline.ir).items():
        found[node] = warehouse if named is None else _named(pipeline, node, named, networks)
    in_warehouse = not found or any(isinstance(each, str) for each in found.values())
    return TargetDatabases(found, warehouse if in_warehouse else next(iter(found.values())))


def identities(databases: TargetDatabases) -> dict[str, Identity]:
    """Which databases they are, by key; nothing where there is only one. Raises TargetError for one that cannot be
    reached, and for two names of the same one, whose ledger would be read twice."""
    found: dict[str, Identity] = {}
    for database in databases.all if len(databases.all) > 1 else ():
        key = key_of(database)
        try:
            identity = identity_of(database)
        except psycopg.Error as error:
            text = (
                f"The database of the targets {_targets_of(databases, key)} cannot be reached: {error_message(error)}"
            )
            raise TargetError("database_unreachable", text) from error
        if identity in found.values():
            other = next(each for each, known in found.items() if known == identity)
            here, there = (_targets_of(databases, each) for each in (other, key))
            raise TargetError(
                "same_database",
                f"The targets {here} and {there} name the same database in two ways.",
                "Let them name one connector" + ("." if key and other else ", or leave `connection` out of all."),
            )
        found[key] = identity
    return found


def _targets_of(databases: TargetDatabases, key: str) -> str:
    return ", ".join(f"'{node}'" for node, each in databases.by_target.items() if key_of(each) == key)


def databases_of(pipelines: Iterable[RunPipeline], warehouse: str, networks: Sequence[Network]) -> Sequence[Database]:
    """The databases of the targets of several versions, each once. Raises TargetError."""
    return distinct([each for found in pipelines for each in target_databases(found, warehouse, networks).all])


def target_connections(ir: Mapping[str, Any]) -> dict[str, str | None]:
    """The `connection` of each target of a document, which need not be valid, by node. The ledger of a target that is
    an API is in the warehouse."""
    nodes = (node for node in ir.get("nodes", ()) if isinstance(node, Mapping) and node.get("kind") == "target")
    return {
        str(node.get("id")): str(node["connection"]) if node.get("connection") and not node.get("connector") else None
        for node in nodes
    }


def _named(pipeline: RunPipeline, node: str, named: str, networks: Sequence[Network]) -> Database:
    try:
        record = pipeline.connection(named)
    except KeyError:
        raise TargetError(
            "unknown_connection",
            f"The target '{node}' loads through the connector '{named}', which does not exist.",
            "Correct `connection`, or create the connector.",
        ) from None
    return named_database(
        Connection(record.id, record.type, record.config, connection_credentials(record.credentials)), networks
    )
