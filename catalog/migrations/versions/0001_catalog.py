"""The first catalog: tenants, keys, connectors, schemas, pipelines with their IR versions, and runs."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE headrace.tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE headrace.api_keys (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES headrace.tenants,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'editor', 'viewer')),
    prefix text NOT NULL,
    digest bytea NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX api_keys_prefix ON headrace.api_keys (prefix);
CREATE INDEX api_keys_newest ON headrace.api_keys (tenant_id, created_at DESC, id DESC);

CREATE TABLE headrace.connectors (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES headrace.tenants,
    name text NOT NULL,
    type text NOT NULL,
    description text,
    config jsonb NOT NULL,
    auth_method text NOT NULL,
    auth_sealed bytea,
    status text NOT NULL,
    last_tested_at timestamptz,
    last_error text,
    last_sync_row_count bigint,
    last_sync_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT connectors_name UNIQUE (tenant_id, name)
);
CREATE INDEX connectors_newest ON headrace.connectors (tenant_id, created_at DESC, id DESC);

CREATE TABLE headrace.schemas (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES headrace.tenants,
    name text NOT NULL,
    display_name text NOT NULL,
    description text,
    table_name text NOT NULL,
    entity_type text NOT NULL,
    schema_type text NOT NULL,
    status text NOT NULL,
    linked_schema_id text REFERENCES headrace.schemas,
    join_mapping jsonb,
    summary_columns jsonb,
    auto_enrich boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT schemas_name UNIQUE (tenant_id, name),
    CONSTRAINT schemas_table_name UNIQUE (table_name)
);
CREATE INDEX schemas_newest ON headrace.schemas (tenant_id, created_at DESC, id DESC);

CREATE TABLE headrace.schema_fields (
    id text PRIMARY KEY,
    schema_id text NOT NULL REFERENCES headrace.schemas ON DELETE CASCADE,
    name text NOT NULL,
    display_name text NOT NULL,
    data_type text NOT NULL,
    length integer,
    "precision" integer,
    scale integer,
    is_nullable boolean NOT NULL,
    is_primary_key boolean NOT NULL,
    is_unique boolean NOT NULL,
    is_predictor boolean NOT NULL,
    default_value text,
    description text NOT NULL,
    ordinal integer NOT NULL,
    CONSTRAINT schema_fields_name UNIQUE (schema_id, name)
);

CREATE TABLE headrace.pipelines (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES headrace.tenants,
    name text NOT NULL,
    description text,
    status text NOT NULL,
    schedule text,
    connector_id text NOT NULL REFERENCES headrace.connectors,
    schema_id text NOT NULL REFERENCES headrace.schemas,
    execution_config jsonb NOT NULL,
    nodes jsonb NOT NULL,
    edges jsonb NOT NULL,
    live_version integer,
    deployment_id text,
    deployment_fingerprint text,
    last_run_at timestamptz,
    last_run_status text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pipelines_name UNIQUE (tenant_id, name)
);
CREATE INDEX pipelines_newest ON headrace.pipelines (tenant_id, created_at DESC, id DESC);
CREATE INDEX pipelines_connector ON headrace.pipelines (connector_id);
CREATE INDEX pipelines_schema ON headrace.pipelines (schema_id);

CREATE TABLE headrace.pipeline_ir_versions (
    pipeline_id text NOT NULL REFERENCES headrace.pipelines ON DELETE CASCADE,
    version integer NOT NULL,
    ir jsonb NOT NULL,
    authored_by text,
    comment text,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline_id, version)
);
"""

_RUNS = """
CREATE TABLE headrace.pipeline_runs (
    id text PRIMARY KEY,
    tenant_id text NOT NULL REFERENCES headrace.tenants,
    pipeline_id text NOT NULL REFERENCES headrace.pipelines ON DELETE CASCADE,
    ir_version integer NOT NULL,
    root_run_id text NOT NULL,
    retry_of text,
    status text NOT NULL,
    load_strategy text NOT NULL,
    attempt integer NOT NULL DEFAULT 0,
    total_rows bigint NOT NULL DEFAULT 0,
    fingerprint jsonb,
    plan jsonb,
    rows_in bigint,
    rows_out bigint,
    failed_rows bigint,
    skipped_rows bigint,
    failure_reason text,
    started_at timestamptz,
    measured_from timestamptz,
    finished_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX pipeline_runs_newest ON headrace.pipeline_runs (pipeline_id, created_at DESC, id DESC);
CREATE INDEX pipeline_runs_root ON headrace.pipeline_runs (root_run_id);

CREATE TABLE headrace.run_partitions (
    run_id text NOT NULL REFERENCES headrace.pipeline_runs ON DELETE CASCADE,
    stage integer NOT NULL,
    "index" integer NOT NULL,
    planned_rows bigint NOT NULL,
    status text NOT NULL,
    rows_in bigint NOT NULL DEFAULT 0,
    rows_out bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    base_rows bigint,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, stage, "index")
);

CREATE TABLE headrace.run_nodes (
    run_id text NOT NULL REFERENCES headrace.pipeline_runs ON DELETE CASCADE,
    stage integer NOT NULL,
    "partition" integer NOT NULL,
    node_id text NOT NULL,
    counters jsonb NOT NULL,
    PRIMARY KEY (run_id, stage, "partition", node_id)
);

CREATE TABLE headrace.run_errors (
    root_run_id text NOT NULL,
    "row" bigint NOT NULL,
    "column" text NOT NULL,
    rule text NOT NULL,
    node_id text NOT NULL,
    stage integer NOT NULL,
    "partition" integer NOT NULL,
    run_id text NOT NULL REFERENCES headrace.pipeline_runs ON DELETE CASCADE,
    value text,
    error text NOT NULL,
    PRIMARY KEY (root_run_id, "row", "column", rule, node_id, "partition")
);
CREATE INDEX run_errors_run ON headrace.run_errors (run_id);

CREATE TABLE headrace.run_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text NOT NULL REFERENCES headrace.pipeline_runs ON DELETE CASCADE,
    stage text NOT NULL,
    message text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX run_log_run ON headrace.run_log (run_id, id);

CREATE TABLE headrace.run_requests (
    pipeline_id text NOT NULL REFERENCES headrace.pipelines ON DELETE CASCADE,
    idempotency_key text NOT NULL,
    run_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (pipeline_id, idempotency_key)
);
"""


def upgrade() -> None:
    """Creates every table of the first catalog."""
    for statement in (_TABLES + _RUNS).split(";"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    """Drops them."""
    for table in (
        "run_requests",
        "run_log",
        "run_errors",
        "run_nodes",
        "run_partitions",
        "pipeline_runs",
        "pipeline_ir_versions",
        "pipelines",
        "schema_fields",
        "schemas",
        "connectors",
        "api_keys",
        "tenants",
    ):
        op.execute(f"DROP TABLE headrace.{table}")
