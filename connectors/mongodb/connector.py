"""The connector `mongodb`: collections and views of a MongoDB database."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb import catalog
from headrace.connectors.mongodb.login import CONNECT_MS, access
from headrace.connectors.mongodb.session import Session
from headrace.connectors.mongodb.settings import MongoSettings, keys_only, problems
from headrace.connectors.mongodb.source import MongoSource
from headrace.connectors.source import StreamFound

_SHOWN = 10


def _open(context: Context) -> MongoSource:
    return MongoSource(context)


def _check(context: Context) -> Found:
    """Logs in as a run does, lists some of the readable collections, and inspects the collection in the settings, if
    any."""
    session = Session(access(context), seconds=CONNECT_MS / 1000)
    try:
        names = sorted(each["name"] for each in session.collections() if not str(each["name"]).startswith("system."))
        version = _version(session)
    finally:
        session.close()
    under = "TLS" if session.tls else "not encrypted"
    count = f"{len(names):,} collection{'' if len(names) == 1 else 's'}"
    message = f"MongoDB {version}, database {session.database}, {under}: {count} can be read"
    if not names:
        message += " (a database that does not exist looks the same: check 'database', and the rights of the login)"
    if context.settings:
        found = _stream(context)
        message += f"; {found.name} has {len(found.fields or ())} columns"
    return Found(message, {"collections": names[:_SHOWN]})


def _version(session: Session) -> str:
    try:
        return str(session.command("the server's version", "buildInfo", database="admin").get("version", "?"))
    except SourceError as error:
        if error.code in ("connection_lost", "connection_failed"):
            raise
        return "of an unknown version"


def _dataset(context: Context) -> DatasetName:
    """The dataset's name by OpenLineage's rules: mongodb://{host}:{port}, {database}.{collection}."""
    way = access(context)
    host, port = way.address.hosts[0]
    return DatasetName(f"mongodb://{host}:{port}", f"{way.database}.{context.settings.get('collection')}")


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    session = Session(access(context))
    try:
        return catalog.streams(session, text)
    finally:
        session.close()


def _stream(context: Context) -> StreamFound:
    source = _open(context)
    try:
        return source.found()
    finally:
        source.close()


MONGODB = Connector(
    "mongodb",
    ("mongodb",),
    check=_check,
    open=_open,
    settings=MongoSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    keys=keys_only,
    extra="mongodb",
)
