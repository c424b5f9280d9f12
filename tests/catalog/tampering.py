"""Changes of the audit log that bypass the catalog."""

from __future__ import annotations

from sqlalchemy import Engine, text


def tamper(engine: Engine, statement: str, **values: object) -> None:
    """As somebody who owns the database would."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement), values)
