"""Runs: replays of failed rows, and warnings apart from failures."""

from __future__ import annotations

from alembic import op

revision = "0003_runs"
down_revision = "0002_pipelines"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """`origin_run_id` is set on a replay: the root of the runs whose failed rows it runs again."""
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN origin_run_id text")
    op.execute("ALTER TABLE headrace.run_errors ADD COLUMN warning boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Takes both away."""
    op.execute("ALTER TABLE headrace.run_errors DROP COLUMN warning")
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN origin_run_id")
