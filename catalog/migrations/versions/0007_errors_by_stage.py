"""Errors are keyed by stage too: a node may be in two stages, and rows are numbered again after a shuffle stage."""

from __future__ import annotations

from alembic import op

revision = "0007_errors_by_stage"
down_revision = "0006_applied_sets"
branch_labels = None
depends_on = None

_KEY = 'root_run_id, "row", "column", rule, node_id, "partition"'


def upgrade() -> None:
    """Adds the stage to the key, after the columns that errors are listed by."""
    op.execute("ALTER TABLE headrace.run_errors DROP CONSTRAINT run_errors_pkey")
    op.execute(f"ALTER TABLE headrace.run_errors ADD PRIMARY KEY ({_KEY}, stage)")


def downgrade() -> None:
    """Removes it from the key; of errors that differ only by stage, those of the first stage are kept."""
    op.execute(f"""
        DELETE FROM headrace.run_errors later USING headrace.run_errors first
        WHERE ({", ".join(f"later.{column.strip()}" for column in _KEY.split(","))})
            = ({", ".join(f"first.{column.strip()}" for column in _KEY.split(","))}) AND later.stage > first.stage
    """)  # noqa: S608 - names only
    op.execute("ALTER TABLE headrace.run_errors DROP CONSTRAINT run_errors_pkey")
    op.execute(f"ALTER TABLE headrace.run_errors ADD PRIMARY KEY ({_KEY})")
