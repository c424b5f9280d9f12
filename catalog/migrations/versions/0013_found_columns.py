"""The columns that were last found in the sources of pipelines."""

from __future__ import annotations

from alembic import op

revision = "0013_found_columns"
down_revision = "0012_skipped_runs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table."""
    op.execute("""
        CREATE TABLE headrace.found_columns (
            pipeline_id text NOT NULL REFERENCES headrace.pipelines ON DELETE CASCADE,
            node_id text NOT NULL,
            source_key text NOT NULL,
            columns jsonb NOT NULL,
            found_at timestamptz NOT NULL DEFAULT now(),
            found_by text NOT NULL,
            run_columns jsonb,
            run_id text,
            run_at timestamptz,
            PRIMARY KEY (pipeline_id, node_id, source_key)
        )
    """)


def downgrade() -> None:
    """Drops it: runs, plans and discovery find the columns again."""
    op.execute("DROP TABLE headrace.found_columns")
