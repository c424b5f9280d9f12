"""Alembic's entry: runs the migrations on the connection and in the transaction of `catalog.engine.upgrade`."""

from __future__ import annotations

from alembic import context

from headrace.catalog.engine import SCHEMA
from headrace.catalog.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
