"""Streaming runs: that a run is one, how far it is behind its sources, and when it last looked."""

from __future__ import annotations

from alembic import op

revision = "0015_streams"
down_revision = "0014_replications"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns, and an index for the runs that stream."""
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN lags jsonb, ADD COLUMN looked_at timestamptz")
    op.execute(
        "CREATE INDEX pipeline_runs_streams ON headrace.pipeline_runs (pipeline_id, created_at) WHERE lags IS NOT NULL"
    )


def downgrade() -> None:
    """Drops them."""
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN lags, DROP COLUMN looked_at")
