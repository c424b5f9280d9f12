"""Runs: replays of failed rows, warnings apart from failures, and parameters."""

from __future__ import annotations

from alembic import op

revision = "0003_runs"
down_revision = "0002_pipelines"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the columns. `origin_run_id` of a replay is the root of the runs whose failed rows it processes again."""
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN origin_run_id text")
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN parameters jsonb NOT NULL DEFAULT '{}'")
    op.execute("CREATE INDEX pipeline_runs_retry ON headrace.pipeline_runs (retry_of) WHERE retry_of IS NOT NULL")
    op.execute("ALTER TABLE headrace.run_errors ADD COLUMN warning boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drops them."""
    op.execute("ALTER TABLE headrace.run_errors DROP COLUMN warning")
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN parameters")
    op.execute("DROP INDEX headrace.pipeline_runs_retry")
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN origin_run_id")
