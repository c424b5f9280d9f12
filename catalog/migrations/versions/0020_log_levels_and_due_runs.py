"""Levels of log lines, rows that stages gather, when schedules want the next run; errors by group, then by row."""

from __future__ import annotations

from alembic import op

revision = "0020_log_levels_and_due_runs"
down_revision = "0019_console_sessions"
branch_labels = None
depends_on = None

_ERRORS_KEY = "ALTER TABLE headrace.run_errors DROP CONSTRAINT run_errors_pkey, ADD PRIMARY KEY (root_run_id, {})"

_UPGRADE = (
    "ALTER TABLE headrace.run_log ADD COLUMN level text NOT NULL DEFAULT 'info'",
    "ALTER TABLE headrace.run_partitions ADD COLUMN gathered_rows bigint",
    """
    CREATE TABLE headrace.due_runs (
        pipeline_id text PRIMARY KEY REFERENCES headrace.pipelines ON DELETE CASCADE,
        tenant_id text NOT NULL,
        due_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX due_runs_of_tenant ON headrace.due_runs (tenant_id, due_at)",
    "CREATE INDEX due_runs_next ON headrace.due_runs (due_at)",
    _ERRORS_KEY.format('node_id, rule, "column", warning, "row", "partition", stage'),
)


def upgrade() -> None:
    """Adds the columns and the table, and orders the key of errors anew."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them."""
    op.execute(
        """
        DELETE FROM headrace.run_errors AS warned USING headrace.run_errors AS failed
        WHERE warned.warning AND NOT failed.warning
          AND (warned.root_run_id, warned."row", warned."column", warned.rule, warned.node_id, warned."partition",
               warned.stage) = (failed.root_run_id, failed."row", failed."column", failed.rule, failed.node_id,
               failed."partition", failed.stage)
        """
    )
    op.execute(_ERRORS_KEY.format('"row", "column", rule, node_id, "partition", stage'))
    op.execute("DROP TABLE headrace.due_runs")
    op.execute("ALTER TABLE headrace.run_partitions DROP COLUMN gathered_rows")
    op.execute("ALTER TABLE headrace.run_log DROP COLUMN level")
