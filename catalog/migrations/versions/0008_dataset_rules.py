"""The results of a run's dataset rules."""

from __future__ import annotations

from alembic import op

revision = "0008_dataset_rules"
down_revision = "0007_errors_by_stage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column."""
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN rules jsonb")


def downgrade() -> None:
    """Drops it."""
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN rules")
