"""Scheduled runs that `catchup` skips: the reason, and a separate total."""

from __future__ import annotations

from alembic import op

revision = "0012_skipped_runs"
down_revision = "0011_error_sources"
branch_labels = None
depends_on = None

_COUNTED = "NEW.status"
_COUNTED_APART = "CASE WHEN NEW.skip_reason IS NULL THEN NEW.status ELSE 'skipped' END"

_REPLACE = """
DO $$
DECLARE
    source text := pg_get_functiondef('headrace.count_run()'::regprocedure);
BEGIN
    EXECUTE replace(source, '{before}, 1,', '{after}, 1,');
END $$
"""


def upgrade() -> None:
    """Adds the column, and a total of the runs that have it."""
    op.execute("ALTER TABLE headrace.pipeline_runs ADD COLUMN skip_reason text")
    _count(_COUNTED, _COUNTED_APART)


def downgrade() -> None:
    """Drops both."""
    _count(_COUNTED_APART, _COUNTED)
    op.execute("DELETE FROM headrace.run_totals WHERE status = 'skipped'")
    op.execute("ALTER TABLE headrace.pipeline_runs DROP COLUMN skip_reason")


def _count(before: str, after: str) -> None:
    op.execute(_REPLACE.format(before=before.replace("'", "''"), after=after.replace("'", "''")))
