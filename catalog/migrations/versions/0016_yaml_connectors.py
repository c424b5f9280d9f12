"""Connectors as documents, and their versions."""

from __future__ import annotations

from alembic import op

revision = "0016_yaml_connectors"
down_revision = "0015_streams"
branch_labels = None
depends_on = None

_UPGRADE = (
    """
    CREATE TABLE headrace.yaml_connectors (
        id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES headrace.tenants,
        name text NOT NULL,
        display_name text NOT NULL,
        live_version integer NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        updated_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT yaml_connectors_name UNIQUE (tenant_id, name)
    )
    """,
    "CREATE INDEX yaml_connectors_newest ON headrace.yaml_connectors (tenant_id, created_at DESC, id DESC)",
    """
    CREATE TABLE headrace.yaml_connector_versions (
        yaml_connector_id text NOT NULL REFERENCES headrace.yaml_connectors ON DELETE CASCADE,
        version integer NOT NULL,
        document jsonb NOT NULL,
        authored_by text,
        comment text,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (yaml_connector_id, version)
    )
    """,
    "CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON headrace.yaml_connectors "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.audit_row("
    "'yaml_connector', 'updated_at', '')",
    "CREATE CONSTRAINT TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON headrace.yaml_connector_versions "
    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION headrace.audit_row("
    "'yaml_connector_version', '', 'document', 'yaml_connectors', 'yaml_connector_id')",
)


def upgrade() -> None:
    """Adds the tables."""
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    """Drops them: connectors that read with a document no longer find it."""
    op.execute("DROP TABLE headrace.yaml_connector_versions")
    op.execute("DROP TABLE headrace.yaml_connectors")
