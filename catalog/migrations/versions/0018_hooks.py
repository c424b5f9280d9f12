"""Records that other systems send to connectors of type `webhook`."""

from __future__ import annotations

from alembic import op

revision = "0018_hooks"
down_revision = "0017_live_parameters"
branch_labels = None
depends_on = None

# Rows come and go all the time: vacuum by number, not by share.
_BUSY = "WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000)"

_UPGRADE = (
    """
    CREATE TABLE headrace.hook_spools (
        connector_id text PRIMARY KEY REFERENCES headrace.connectors ON DELETE CASCADE,
        last_seq bigint NOT NULL DEFAULT 0,
        freed_seq bigint NOT NULL DEFAULT 0,
        bytes bigint NOT NULL DEFAULT 0,
        keys bigint NOT NULL DEFAULT 0,
        last_received_at timestamptz
    ) WITH (fillfactor = 50)
    """,
    f"""
    CREATE TABLE headrace.hook_records (
        connector_id text NOT NULL REFERENCES headrace.hook_spools ON DELETE CASCADE,
        seq bigint NOT NULL,
        received_at timestamptz NOT NULL,
        request_id text NOT NULL,
        key text,
        headers text,
        size bigint NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (connector_id, seq)
    ) {_BUSY}
    """,
    f"""
    CREATE TABLE headrace.hook_keys (
        connector_id text NOT NULL REFERENCES headrace.hook_spools ON DELETE CASCADE,
        key bytea NOT NULL,
        digest bytea NOT NULL,
        seq bigint NOT NULL,
        received_at timestamptz NOT NULL,
        PRIMARY KEY (connector_id, key)
    ) {_BUSY}
    """,
    "CREATE INDEX hook_keys_oldest ON headrace.hook_keys (connector_id, received_at)",
    """
    CREATE TABLE headrace.hook_readers (
        connector_id text NOT NULL REFERENCES headrace.hook_spools ON DELETE CASCADE,
        pipeline_id text NOT NULL REFERENCES headrace.pipelines ON DELETE CASCADE,
        node_id text NOT NULL,
        seq bigint NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (connector_id, pipeline_id, node_id)
    )
    """,
)


def upgrade() -> None:
    """Adds the tables."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: records that wait are lost."""
    for table in ("hook_readers", "hook_keys", "hook_records", "hook_spools"):
        op.execute(f"DROP TABLE headrace.{table}")
