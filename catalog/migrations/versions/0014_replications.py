"""Replications: documents, the tables they copy, and their runs; pipelines that belong to one."""

from __future__ import annotations

from alembic import op

revision = "0014_replications"
down_revision = "0013_found_columns"
branch_labels = None
depends_on = None

_UPGRADE = (
    """
    CREATE TABLE headrace.replications (
        id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES headrace.tenants,
        name text NOT NULL,
        status text NOT NULL,
        document jsonb NOT NULL,
        version integer NOT NULL,
        connector_id text NOT NULL REFERENCES headrace.connectors,
        settled text,
        schedule jsonb,
        scheduled_since timestamptz,
        deployment_id text,
        last_run_at timestamptz,
        last_run_status text,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT replications_name UNIQUE (tenant_id, name)
    )
    """,
    "CREATE INDEX replications_newest ON headrace.replications (tenant_id, created_at DESC, id DESC)",
    "CREATE INDEX replications_connector ON headrace.replications (connector_id)",
    "ALTER TABLE headrace.pipelines ADD COLUMN replication_id text REFERENCES headrace.replications",
    """
    CREATE INDEX pipelines_replication ON headrace.pipelines (replication_id, created_at DESC, id DESC)
    WHERE replication_id IS NOT NULL
    """,
    """
    CREATE TABLE headrace.replication_tables (
        replication_id text NOT NULL REFERENCES headrace.replications ON DELETE CASCADE,
        name text NOT NULL,
        pipeline_id text REFERENCES headrace.pipelines ON DELETE CASCADE,
        columns jsonb NOT NULL,
        names jsonb NOT NULL,
        there boolean NOT NULL DEFAULT true,
        since timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (replication_id, name)
    )
    """,
    "CREATE UNIQUE INDEX replication_tables_pipeline ON headrace.replication_tables (pipeline_id)",
    """
    CREATE TABLE headrace.replication_runs (
        id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES headrace.tenants,
        replication_id text NOT NULL REFERENCES headrace.replications ON DELETE CASCADE,
        version integer NOT NULL,
        retry_of text,
        only_tables jsonb,
        status text NOT NULL,
        phase text NOT NULL,
        found jsonb,
        failure_reason text,
        cancel_asked boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL DEFAULT now(),
        started_at timestamptz,
        finished_at timestamptz,
        touched_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX replication_runs_newest ON headrace.replication_runs (replication_id, created_at DESC, id DESC)",
    """
    CREATE INDEX replication_runs_unfinished ON headrace.replication_runs (phase, touched_at)
    WHERE status IN ('pending', 'running')
    """,
    """
    CREATE TABLE headrace.replication_run_tables (
        run_id text NOT NULL REFERENCES headrace.replication_runs ON DELETE CASCADE,
        name text NOT NULL,
        change text NOT NULL,
        pipeline_id text REFERENCES headrace.pipelines ON DELETE SET NULL,
        ir_version integer,
        retry_of text,
        status text NOT NULL,
        child_run_id text,
        message text,
        started_at timestamptz,
        finished_at timestamptz,
        PRIMARY KEY (run_id, name)
    )
    """,
    "CREATE INDEX replication_run_tables_pipeline ON headrace.replication_run_tables (pipeline_id)",
    """
    CREATE TABLE headrace.replication_requests (
        replication_id text NOT NULL REFERENCES headrace.replications ON DELETE CASCADE,
        idempotency_key text NOT NULL,
        run_id text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (replication_id, idempotency_key)
    )
    """,
    "CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON headrace.replications "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.audit_row("
    "'replication', 'updated_at last_run_at last_run_status deployment_id scheduled_since settled', '')",
    "CREATE CONSTRAINT TRIGGER audit AFTER INSERT ON headrace.replication_runs "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.audit_row("
    "'replication_run', 'found', '')",
)

_DOWNGRADE = (
    "DROP TABLE headrace.replication_requests",
    "DROP TABLE headrace.replication_run_tables",
    "DROP TABLE headrace.replication_runs",
    "DROP TABLE headrace.replication_tables",
    "DELETE FROM headrace.deployment_changes WHERE pipeline_id IN (SELECT id FROM headrace.replications)",
    "DROP INDEX headrace.pipelines_replication",
    "ALTER TABLE headrace.pipelines DROP COLUMN replication_id",
    "DROP TABLE headrace.replications",
)


def upgrade() -> None:
    """Adds the tables, and the owner of pipelines."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: pipelines of replications become ordinary ones."""
    for statement in _DOWNGRADE:
        op.execute(statement)
