"""Connectors and schemas: cached statistics of a schema's table, and an index of links to a schema."""

from __future__ import annotations

from alembic import op

revision = "0004_resources"
down_revision = "0003_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table and the index."""
    op.execute("""
        CREATE TABLE headrace.schema_statistics (
            schema_id text PRIMARY KEY REFERENCES headrace.schemas ON DELETE CASCADE,
            row_count bigint NOT NULL,
            sampled boolean NOT NULL,
            fields jsonb NOT NULL,
            computed_at timestamptz NOT NULL DEFAULT now()
        )
    """)
    op.execute("CREATE INDEX schemas_linked ON headrace.schemas (linked_schema_id)")


def downgrade() -> None:
    """Drops them."""
    op.execute("DROP INDEX headrace.schemas_linked")
    op.execute("DROP TABLE headrace.schema_statistics")
