"""Sessions of the console, and indexes of the pipelines that need attention."""

from __future__ import annotations

from alembic import op

revision = "0019_console_sessions"
down_revision = "0018_hooks"
branch_labels = None
depends_on = None

_UPGRADE = (
    """
    CREATE TABLE headrace.console_sessions (
        digest bytea PRIMARY KEY,
        key_id text NOT NULL REFERENCES headrace.api_keys ON DELETE CASCADE,
        tenant_id text NOT NULL REFERENCES headrace.tenants,
        role text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        expires_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX console_sessions_key ON headrace.console_sessions (key_id)",
    "CREATE INDEX console_sessions_expired ON headrace.console_sessions (expires_at)",
    "CREATE INDEX pipelines_attention ON headrace.pipelines (tenant_id, last_run_at DESC, id DESC) "
    "WHERE last_run_status IN ('failed', 'completed_with_errors')",
    "CREATE INDEX found_columns_changed ON headrace.found_columns (pipeline_id) WHERE run_columns <> columns",
)


def upgrade() -> None:
    """Adds the table and the indexes."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: everybody has to log in again."""
    op.execute("DROP INDEX headrace.found_columns_changed")
    op.execute("DROP INDEX headrace.pipelines_attention")
    op.execute("DROP TABLE headrace.console_sessions")
