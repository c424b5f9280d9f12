"""The connectors by name. A built-in one is one line in BUILT_IN; others come by the entry-point group
`headrace.connectors`, each a `Connector`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from headrace.connectors.bigquery.connector import BIGQUERY
from headrace.connectors.connector import Connector, Context, Found
from headrace.connectors.databricks.connector import DATABRICKS
from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import near
from headrace.connectors.files.local.local_fs import LOCAL_FS
from headrace.connectors.files.local.uploads import CSV_UPLOAD
from headrace.connectors.http.connector import REST_API
from headrace.connectors.http.shipped.connectors import shipped_connectors
from headrace.connectors.kafka.connector import KAFKA
from headrace.connectors.kinesis.connector import KINESIS
from headrace.connectors.mongodb.connector import MONGODB
from headrace.connectors.network.deadline import run_within
from headrace.connectors.redshift.connector import REDSHIFT
from headrace.connectors.snowflake.connector import SNOWFLAKE
from headrace.connectors.source import Source, StreamFound
from headrace.connectors.specs import CONNECTOR_TYPES, SOURCE_NAMES
from headrace.connectors.specs.base import ConnectorType
from headrace.connectors.sql.mysql.connector import MYSQL
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.connectors.stores.http.connector import HTTP_PULL
from headrace.connectors.stores.object_store.azure import AZURE_BLOB
from headrace.connectors.stores.object_store.gcs import GCS_FILES
from headrace.connectors.stores.object_store.s3 import S3_FILES
from headrace.connectors.stores.sftp.connector import SFTP
from headrace.connectors.unimplemented import UnimplementedSource
from headrace.connectors.webhook.connector import WEBHOOK
from headrace.ir.problems import Problem
from headrace.ir.secrets import PURPOSES
from headrace.ir.yaml_connectors import PREFIX, is_document, reference_of

GROUP = "headrace.connectors"
_DOCUMENT_HINT = "write yaml:github, or yaml:github@3 for its version 3"
BUILT_IN: tuple[Connector, ...] = (
    LOCAL_FS,
    CSV_UPLOAD,
    S3_FILES,
    SFTP,
    HTTP_PULL,
    GCS_FILES,
    AZURE_BLOB,
    POSTGRESQL,
    MYSQL,
    SNOWFLAKE,
    REDSHIFT,
    MONGODB,
    BIGQUERY,
    DATABRICKS,
    REST_API,
    KAFKA,
    KINESIS,
    WEBHOOK,
)


@cache
def connectors() -> Mapping[str, Connector]:
    """All connectors by their names in source nodes. A third party's connector cannot use the name of a built-in
    one."""
    found = {each.name: each for each in (*BUILT_IN, *shipped_connectors())}
    for point in entry_points(group=GROUP):
        loaded = point.load()
        if isinstance(loaded, Connector):
            found.setdefault(loaded.name, loaded)
    return found


@cache
def connector_types() -> Mapping[str, ConnectorType]:
    """Every type of connector records by name. A third party's cannot take the name of a built-in one. Raises
    ValueError for a type with settings that a document could name as its own credentials (`salt…`)."""
    found = dict(CONNECTOR_TYPES)
    for connector in connectors().values():
        for each in connector.record_types:
            names = (*each.setting_names, *each.auth_schema["properties"])
            if open_names := [name for name in names if name.startswith(PURPOSES)]:
                raise ValueError(
                    f"The connector type '{each.name}' has settings with names that documents may use as credentials: "
                    f"{', '.join(open_names)}. Rename them."
                )
            found.setdefault(each.name, each)
    return found


def readable() -> Mapping[str, Connector]:
    """The connectors that can read."""
    return {name: each for name, each in connectors().items() if each.open is not None}


def reader(name: str) -> Connector | None:
    """The connector that reads the source nodes with that `connector`: the one of that name, or of `yaml:github` that
    of documents. None: there is none, or it cannot read yet."""
    return readable().get(REST_API.name if reference_of(name) is not None else name)


def source_names() -> frozenset[str]:
    """Everything that a source node may name: what is registered and does not read yet says so when it is run."""
    return SOURCE_NAMES | connectors().keys() | connector_types().keys()


def of_type(type_name: str) -> Connector | None:
    """The connector for connections of a type."""
    return next((each for each in connectors().values() if type_name in each.types), None)


def _named(name: str) -> Connector | None:
    """The connector of a source node, by its name, by a type of its records, or by a document that it reads."""
    return connectors().get(name) or reader(name) or of_type(name)


def config_problems(name: str, config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a source's config that can be found when it is saved; paths begin with `config`."""
    if is_document(name) and reference_of(name) is None:
        return [Problem("connector", "unknown_connector", f"'{name}' names no document", _DOCUMENT_HINT)]
    found = _named(name)
    return found.problems(config) if found is not None and found.open is not None else []


def source_for(name: str, context: Context) -> Source:
    """The source of a node; raises SourceError(`unknown_connector`) with the nearest name."""
    found = _named(name)
    if name == f"{PREFIX}{context.connection.type}":  # the record has the document's type
        found = connectors().get(context.connection.type)
    if found is not None and found.open is not None:
        return found.source(context)
    if name in source_names():
        return UnimplementedSource(name, context)
    if is_document(name):
        raise SourceError("unknown_connector", f"'{name}' names no document.", f"{_DOCUMENT_HINT}.".capitalize())
    known = sorted(source_names())
    hint = near(name, tuple(known)) or f"Use one of {', '.join(known)}."
    raise SourceError("unknown_connector", f"There is no connector '{name}'.", hint)


def check(type_name: str, context: Context, *, seconds: float) -> Found:
    """Tests a connection with a deadline in seconds. Raises SourceError; `no_answer` leaves a thread running."""
    found = of_type(type_name)
    assert found is not None, "the caller has checked that the type can be tried"
    return run_within(seconds, lambda: found.tried(context))


def forgotten(name: str, context: Context, *, seconds: float) -> list[str]:
    """Removes what runs of the reader of a source node keep at the server (`Connector.forget`); deadline and errors as
    in `check`."""
    found = reader(name)
    if found is None or found.forget is None:
        return []
    forget = found.forget
    return [*run_within(seconds, lambda: forget(context))]


def listed(type_name: str, context: Context, text: str, *, seconds: float) -> list[StreamFound]:
    """The streams of a connection whose name contains a text, by name; deadline and errors as in `check`."""
    found = of_type(type_name)
    assert found is not None, "the caller has checked that the type can be tried"
    return run_within(seconds, lambda: found.listed(context, text))
