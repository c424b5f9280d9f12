"""Applied sets: the objects that a set of files has created, so that only those are deleted with their files."""

from __future__ import annotations

from alembic import op

revision = "0006_applied_sets"
down_revision = "0005_operability"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the table."""
    op.execute("""
        CREATE TABLE headrace.applied_sets (
            id text PRIMARY KEY,
            tenant_id text NOT NULL REFERENCES headrace.tenants,
            name text NOT NULL,
            objects jsonb NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT applied_sets_name UNIQUE (tenant_id, name)
        )
    """)


def downgrade() -> None:
    """Drops it; applied objects belong to no set then."""
    op.execute("DROP TABLE headrace.applied_sets")
