"""Publications: what of a table a slot gives."""

from __future__ import annotations

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.postgresql.session import Session
from headrace.connectors.sql.postgresql.types import quoted
from headrace.connectors.sql.relation import Relation

_PUBLISHED = """
SELECT p.pubinsert, p.pubupdate, p.pubdelete, p.pubtruncate
FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_tables t USING (pubname)
WHERE p.pubname = %(name)s AND t.schemaname = %(schema)s AND t.tablename = %(table)s
"""

_PARTS = """
SELECT t.rowfilter IS NOT NULL, EXISTS (
         SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
           AND a.attgenerated = '' AND a.attname <> ALL (t.attnames))
FROM pg_catalog.pg_publication_tables t
WHERE t.pubname = %(name)s AND t.schemaname = %(schema)s AND t.tablename = %(table)s
"""
"""Whether a publication has only some of the rows or columns; from version 15 on."""


def check_publication(session: Session, publication: str, relation: Relation) -> None:
    """Raises SourceError(`not_published`) if the table's changes are not all in the publication."""
    own = relation.own
    values = {"name": publication, "oid": own["oid"], "schema": own["schema"], "table": own["table"]}
    found = session.rows(_PUBLISHED, values)
    if not found:
        raise SourceError(
            "not_published",
            f"{relation.name} is not in the publication {publication}.",
            f"CREATE PUBLICATION {quoted(publication)} FOR TABLE {quoted(own['schema'])}.{quoted(own['table'])} WITH "
            "(publish_via_partition_root), or ALTER PUBLICATION … ADD TABLE.",
        )
    parts = session.rows(_PARTS, values) if session.version >= 150000 else []
    if not all(found[0]) or any(any(part) for part in parts):
        raise SourceError(
            "not_published",
            f"The publication {publication} leaves out some changes of {relation.name}.",
            "Publish insert, update, delete and truncate, all columns, and all rows.",
        )


def publish(session: Session, publication: str, relation: Relation) -> None:
    """Makes a publication of the table, unless it is there. Raises SourceError(`not_permitted`)."""
    if session.rows("SELECT FROM pg_catalog.pg_publication WHERE pubname = %s", [publication]):
        return
    own = relation.own
    table = f"{quoted(own['schema'])}.{quoted(own['table'])}"
    making = f"CREATE PUBLICATION {quoted(publication)} FOR TABLE {table} WITH (publish_via_partition_root = true)"
    try:
        session.command(making)
    except SourceError as error:
        if error.code not in ("not_permitted", "query_failed"):
            raise
        raise SourceError(
            "not_permitted",
            f"The login may not make a publication of {relation.name}: it has to own the table, and needs CREATE on "
            f"the database. {error.message}",
            f"As its owner: CREATE PUBLICATION headrace FOR TABLE {table} WITH (publish_via_partition_root); then set "
            "changes.publication to headrace.",
        ) from None
