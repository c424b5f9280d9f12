"""The run parameters of each pipeline's live version, for the form of its deployment in Prefect."""

from __future__ import annotations

from alembic import op

revision = "0017_live_parameters"
down_revision = "0016_yaml_connectors"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column, and reads the parameters off the sources of the live versions."""
    op.execute("ALTER TABLE headrace.pipelines ADD COLUMN live_parameters jsonb")
    op.execute(r"""
    UPDATE headrace.pipelines p SET live_parameters = found.parameters
    FROM (
        SELECT v.pipeline_id, v.version, jsonb_agg(DISTINCT jsonb_build_object('name', used.name[1])) AS parameters
        FROM headrace.pipeline_ir_versions v,
            jsonb_array_elements(v.ir -> 'nodes') AS node,
            regexp_matches(node ->> 'config', '\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,99})\s*\}\}', 'g') AS used(name)
        WHERE node ->> 'kind' = 'source'
        GROUP BY v.pipeline_id, v.version
    ) found
    WHERE found.pipeline_id = p.id AND found.version = p.live_version
    """)


def downgrade() -> None:
    """Drops it."""
    op.execute("ALTER TABLE headrace.pipelines DROP COLUMN live_parameters")
