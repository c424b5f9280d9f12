"""Tables of schemas are owned by the tenant's role, if roles are set up (`catalog.security.database_roles`)."""

from __future__ import annotations

from alembic import op

revision = "0010_tenants_tables"
down_revision = "0009_audit_seals"
branch_labels = None
depends_on = None

_GIVE = """
CREATE FUNCTION headrace.give_to_tenant(tenant text, relation text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF to_regprocedure('headrace_admin.tenant_role(text, text)') IS NOT NULL THEN
    EXECUTE format('ALTER TABLE public.%I OWNER TO %I', relation, headrace_admin.tenant_role(tenant));
  END IF;
END $$
"""


def upgrade() -> None:
    """Creates the function."""
    op.execute(_GIVE)


def downgrade() -> None:
    """Drops it."""
    op.execute("DROP FUNCTION headrace.give_to_tenant(text, text)")
