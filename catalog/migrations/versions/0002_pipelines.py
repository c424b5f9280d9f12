"""Pipelines: the live schedule, and the queue of changes of Prefect deployments."""

from __future__ import annotations

from alembic import op

revision = "0002_pipelines"
down_revision = "0001"
branch_labels = None
depends_on = None

_UPGRADE = (
    """
    ALTER TABLE headrace.pipelines ADD COLUMN live_schedule jsonb, ADD COLUMN scheduled_since timestamptz,
        DROP COLUMN deployment_fingerprint
    """,
    """
    UPDATE headrace.pipelines p SET live_schedule = s.schedule, scheduled_since = p.updated_at
    FROM (
        SELECT p.id, coalesce(
            nullif(v.ir -> 'schedule', 'null'),
            CASE WHEN p.schedule IS NOT NULL
                THEN jsonb_build_object('kind', 'cron', 'expression', p.schedule, 'timezone', 'UTC') END) AS schedule
        FROM headrace.pipelines p
        LEFT JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = p.id AND v.version = p.live_version
    ) s
    WHERE s.id = p.id AND s.schedule IS NOT NULL
    """,
    "DROP INDEX headrace.pipelines_connector",
    "DROP INDEX headrace.pipelines_schema",
    "CREATE INDEX pipelines_connector ON headrace.pipelines (connector_id, created_at DESC, id DESC)",
    "CREATE INDEX pipelines_schema ON headrace.pipelines (schema_id, created_at DESC, id DESC)",
    "CREATE INDEX pipelines_status ON headrace.pipelines (tenant_id, status, created_at DESC, id DESC)",
    """
    CREATE INDEX pipelines_scheduled ON headrace.pipelines (tenant_id, created_at DESC, id DESC)
    WHERE live_schedule IS NOT NULL
    """,
    # Parts of names are searched by trigrams; without the extension, by reading all names.
    """
    DO $$
    DECLARE
        trigrams text;
    BEGIN
        BEGIN
            CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA headrace;
        EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
            RAISE NOTICE 'pg_trgm is not available';
        END;
        SELECT format('%I.gin_trgm_ops', n.nspname) INTO trigrams
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm';
        IF trigrams IS NOT NULL THEN
            EXECUTE format(
                'CREATE INDEX pipelines_name_part ON headrace.pipelines USING gin (lower(name) %s)', trigrams);
        END IF;
    END
    $$
    """,
    """
    CREATE TABLE headrace.deployment_changes (
        pipeline_id text PRIMARY KEY,
        change text NOT NULL,
        due_at timestamptz NOT NULL DEFAULT now(),
        attempts integer NOT NULL DEFAULT 0,
        problem text
    )
    """,
    "CREATE INDEX deployment_changes_due ON headrace.deployment_changes (due_at)",
    # Deployments of earlier releases are updated once.
    "INSERT INTO headrace.deployment_changes (pipeline_id, change) SELECT id, 'upgrade' FROM headrace.pipelines",
)

_DOWNGRADE = (
    "DELETE FROM headrace.pipeline_ir_versions WHERE version < 1",
    "UPDATE headrace.pipelines SET live_version = NULL WHERE live_version < 1",
    "DROP TABLE headrace.deployment_changes",
    "DROP INDEX IF EXISTS headrace.pipelines_name_part",
    "DROP INDEX headrace.pipelines_scheduled",
    "DROP INDEX headrace.pipelines_status",
    "DROP INDEX headrace.pipelines_schema",
    "DROP INDEX headrace.pipelines_connector",
    "CREATE INDEX pipelines_schema ON headrace.pipelines (schema_id)",
    "CREATE INDEX pipelines_connector ON headrace.pipelines (connector_id)",
    """
    ALTER TABLE headrace.pipelines DROP COLUMN scheduled_since, DROP COLUMN live_schedule,
        ADD COLUMN deployment_fingerprint text
    """,
)


def upgrade() -> None:
    """Adds the columns, the indexes of list filters, and the table of changes."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them."""
    for statement in _DOWNGRADE:
        op.execute(statement)
