"""Errors have the source, file and position of their row."""

from __future__ import annotations

from alembic import op

revision = "0011_error_sources"
down_revision = "0010_tenants_tables"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, empty for existing errors."""
    op.execute("ALTER TABLE headrace.run_errors ADD COLUMN sources jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """Drops it."""
    op.execute("ALTER TABLE headrace.run_errors DROP COLUMN sources")
