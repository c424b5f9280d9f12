"""The audit log, written by triggers of the tables, and the totals for metrics.

Both are kept by deferred triggers: they see every write, whoever makes it and however (a bulk update, a cascade, psql),
and they take their locks at the end of the transaction, after all others, so that they cannot deadlock.
"""

from __future__ import annotations

from alembic import op

revision = "0005_operability"
down_revision = "0004_resources"
branch_labels = None
depends_on = None

_TABLES = (
    """
    CREATE TABLE headrace.audit_log (
        id text PRIMARY KEY,
        tenant_id text NOT NULL REFERENCES headrace.tenants,
        created_at timestamptz NOT NULL DEFAULT now(),
        sequence bigint NOT NULL,
        action text NOT NULL,
        entity_type text NOT NULL,
        entity_id text NOT NULL,
        entity_name text,
        entity_version integer,
        before jsonb,
        after jsonb,
        user_id text NOT NULL,
        user_name text NOT NULL,
        request_id text,
        prev_hash text NOT NULL,
        integrity_hash text NOT NULL,
        CONSTRAINT audit_log_sequence UNIQUE (tenant_id, sequence)
    )
    """,
    "CREATE INDEX audit_log_kind ON headrace.audit_log (tenant_id, entity_type, sequence)",
    "CREATE INDEX audit_log_entity ON headrace.audit_log (tenant_id, entity_id, sequence)",
    """
    CREATE TABLE headrace.audit_heads (
        tenant_id text PRIMARY KEY REFERENCES headrace.tenants,
        sequence bigint NOT NULL,
        integrity_hash text NOT NULL
    )
    """,
    # status -> finished runs and the rows they committed; one row each, so that a scrape never counts runs
    """
    CREATE TABLE headrace.run_totals (
        status text PRIMARY KEY,
        runs bigint NOT NULL DEFAULT 0,
        rows_in bigint NOT NULL DEFAULT 0,
        rows_out bigint NOT NULL DEFAULT 0,
        failed_rows bigint NOT NULL DEFAULT 0,
        skipped_rows bigint NOT NULL DEFAULT 0,
        wait_seconds double precision NOT NULL DEFAULT 0
    )
    """,
    """
    CREATE TABLE headrace.partition_seconds (
        up_to double precision PRIMARY KEY,
        partitions bigint NOT NULL DEFAULT 0,
        seconds double precision NOT NULL DEFAULT 0
    )
    """,
    """
    INSERT INTO headrace.partition_seconds (up_to)
    SELECT unnest(ARRAY[0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 'Infinity']::double precision[])
    """,
    "ALTER TABLE headrace.run_partitions ADD COLUMN began_at timestamptz",
    "CREATE INDEX pipeline_runs_unfinished ON headrace.pipeline_runs (status, created_at) "
    "WHERE status IN ('pending', 'running')",
    "ALTER TABLE headrace.api_keys ADD COLUMN revoked_reason text",
)

_FUNCTIONS = (
    # Appends one entry to the tenant's chain; its author is in the transaction's settings.
    # The hashed content is the same as in catalog/audit/verification.py.
    """
    CREATE FUNCTION headrace.audit_append(
        tenant text, action text, entity_type text, entity_id text, entity_name text, entity_version integer,
        before jsonb, after jsonb
    ) RETURNS void LANGUAGE plpgsql AS $$
    DECLARE
        head headrace.audit_heads;
        entry headrace.audit_log;
    BEGIN
        INSERT INTO headrace.audit_heads VALUES (tenant, 0, repeat('0', 64)) ON CONFLICT DO NOTHING;
        SELECT * INTO head FROM headrace.audit_heads h WHERE h.tenant_id = tenant FOR UPDATE;
        entry.created_at = clock_timestamp();
        entry.id = 'audit_' || lpad(to_hex((extract(epoch FROM entry.created_at) * 1000)::bigint), 12, '0')
            || left(replace(gen_random_uuid()::text, '-', ''), 20);
        entry.tenant_id = tenant;
        entry.sequence = head.sequence + 1;
        entry.action = action;
        entry.entity_type = entity_type;
        entry.entity_id = entity_id;
        entry.entity_name = entity_name;
        entry.entity_version = entity_version;
        entry.before = before;
        entry.after = after;
        entry.user_id = coalesce(nullif(current_setting('headrace.user_id', true), ''), 'system');
        entry.user_name = coalesce(nullif(current_setting('headrace.user_name', true), ''), 'system');
        entry.request_id = nullif(current_setting('headrace.request_id', true), '');
        entry.prev_hash = head.integrity_hash;
        entry.integrity_hash = encode(sha256(convert_to(headrace.audit_content(entry), 'UTF8')), 'hex');
        INSERT INTO headrace.audit_log SELECT entry.*;
        UPDATE headrace.audit_heads h SET sequence = entry.sequence, integrity_hash = entry.integrity_hash
        WHERE h.tenant_id = tenant;
        PERFORM set_config('headrace.audited', 'yes', true);
    END $$
    """,
    """
    CREATE FUNCTION headrace.audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        kind text := TG_ARGV[0];
        unaudited text[] := string_to_array(TG_ARGV[1], ' ');
        digested text[] := string_to_array(TG_ARGV[2], ' ');
        old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - unaudited END;
        new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - unaudited END;
        facts jsonb := coalesce(new_row, old_row);
        owner jsonb;
    BEGIN
        IF TG_OP = 'UPDATE' AND old_row = new_row THEN
            RETURN NULL;
        END IF;
        IF TG_NARGS > 3 THEN  -- a part of something; when that is gone, its own entry tells of it
            EXECUTE format('SELECT to_jsonb(o) FROM headrace.%I o WHERE o.id = $1', TG_ARGV[3])
                INTO owner USING facts ->> TG_ARGV[4];
            IF owner IS NULL THEN
                RETURN NULL;
            END IF;
        END IF;
        PERFORM headrace.audit_append(
            coalesce(facts ->> 'tenant_id', owner ->> 'tenant_id', facts ->> 'id'),
            CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'delete' END,
            kind,
            coalesce(facts ->> 'id', owner ->> 'id'),
            coalesce(facts ->> 'name', owner ->> 'name'),
            coalesce(facts ->> 'version', facts ->> 'live_version', facts ->> 'ir_version')::integer,
            headrace.audit_digest(old_row, digested),
            headrace.audit_digest(new_row, digested)
        );
        RETURN NULL;
    END $$
    """,
    # Secrets and long values are stored as their SHA-256, which shows changes but not the content.
    """
    CREATE FUNCTION headrace.audit_digest(facts jsonb, digested text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
        SELECT jsonb_object_agg(each.key, CASE
            WHEN each.value <> 'null' AND (each.key = ANY (digested) OR length(each.value::text) > 4096)
            THEN to_jsonb('sha256:' || encode(sha256(convert_to(each.value::text, 'UTF8')), 'hex'))
            ELSE each.value END)
        FROM jsonb_each(facts) AS each
    $$
    """,
    """
    CREATE FUNCTION headrace.audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only';
    END $$
    """,
    """
    CREATE FUNCTION headrace.count_run() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        earlier record;
    BEGIN
        -- counts are those of the whole chain of retries: only what this run added is new
        SELECT coalesce(max(rows_in), 0) AS rows_in, coalesce(max(rows_out), 0) AS rows_out,
               coalesce(max(failed_rows), 0) AS failed_rows, coalesce(max(skipped_rows), 0) AS skipped_rows
        INTO earlier FROM headrace.pipeline_runs WHERE root_run_id = NEW.root_run_id AND id <> NEW.id;
        INSERT INTO headrace.run_totals AS t VALUES (
            NEW.status, 1,
            greatest(0, NEW.rows_in - greatest(earlier.rows_in, coalesce(OLD.rows_in, 0))),
            greatest(0, NEW.rows_out - greatest(earlier.rows_out, coalesce(OLD.rows_out, 0))),
            greatest(0, NEW.failed_rows - greatest(earlier.failed_rows, coalesce(OLD.failed_rows, 0))),
            greatest(0, NEW.skipped_rows - greatest(earlier.skipped_rows, coalesce(OLD.skipped_rows, 0))),
            greatest(0, extract(epoch FROM NEW.started_at - NEW.created_at))
        )
        ON CONFLICT (status) DO UPDATE SET
            runs = t.runs + 1, rows_in = t.rows_in + excluded.rows_in, rows_out = t.rows_out + excluded.rows_out,
            failed_rows = t.failed_rows + excluded.failed_rows, skipped_rows = t.skipped_rows + excluded.skipped_rows,
            wait_seconds = t.wait_seconds + excluded.wait_seconds;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION headrace.time_partition() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.began_at = clock_timestamp();
        RETURN NEW;
    END $$
    """,
    """
    CREATE FUNCTION headrace.count_partition() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        took double precision := greatest(0, extract(epoch FROM NEW.updated_at - NEW.began_at));
    BEGIN
        UPDATE headrace.partition_seconds SET partitions = partitions + 1, seconds = seconds + took
        WHERE up_to = (SELECT min(up_to) FROM headrace.partition_seconds WHERE up_to >= took);
        RETURN NULL;
    END $$
    """,
)

_AUDITED = {
    # table: (events, entity type, columns that are bookkeeping, columns only digested, the owner's table and column)
    "tenants": ("INSERT OR UPDATE", "tenant", "created_at", ""),
    "api_keys": ("INSERT OR UPDATE OR DELETE", "api_key", "last_used_at", "digest"),
    "connectors": (
        "INSERT OR UPDATE OR DELETE",
        "connector",
        "updated_at status last_tested_at last_error last_sync_row_count last_sync_at",
        "auth_sealed",
    ),
    "schemas": ("INSERT OR UPDATE OR DELETE", "schema", "updated_at", ""),
    "schema_fields": ("INSERT OR UPDATE OR DELETE", "schema_field", "", "", "schemas", "schema_id"),
    "pipelines": (
        "INSERT OR UPDATE OR DELETE",
        "pipeline",
        "updated_at last_run_at last_run_status deployment_id scheduled_since",
        "",
    ),
    "pipeline_ir_versions": ("INSERT OR UPDATE OR DELETE", "pipeline_ir", "", "ir", "pipelines", "pipeline_id"),
    "pipeline_runs": ("INSERT", "pipeline_run", "", ""),
}

_TRIGGERS = (
    *(
        f"CREATE CONSTRAINT TRIGGER audit AFTER {events} ON headrace.{table} DEFERRABLE INITIALLY DEFERRED "
        f"FOR EACH ROW EXECUTE FUNCTION headrace.audit_row({', '.join(repr(argument) for argument in arguments)})"
        for table, (events, *arguments) in _AUDITED.items()
    ),
    "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON headrace.audit_log "
    "FOR EACH ROW EXECUTE FUNCTION headrace.audit_append_only()",
    "CREATE TRIGGER append_only_all BEFORE TRUNCATE ON headrace.audit_log "
    "FOR EACH STATEMENT EXECUTE FUNCTION headrace.audit_append_only()",
    "CREATE CONSTRAINT TRIGGER count_run AFTER UPDATE ON headrace.pipeline_runs DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.status IN ('completed', 'completed_with_errors', 'failed') "
    "AND OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION headrace.count_run()",
    "CREATE TRIGGER time_partition BEFORE UPDATE ON headrace.run_partitions FOR EACH ROW "
    "WHEN (NEW.status = 'running' AND OLD.status <> 'running') EXECUTE FUNCTION headrace.time_partition()",
    "CREATE CONSTRAINT TRIGGER count_partition AFTER UPDATE ON headrace.run_partitions DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW WHEN (NEW.status = 'completed' AND OLD.status = 'running' AND NEW.began_at IS NOT NULL) "
    "EXECUTE FUNCTION headrace.count_partition()",
)

# jsonb has one text form, so the same entry always has the same content
_CONTENT = """
    CREATE FUNCTION headrace.audit_content(entry headrace.audit_log) RETURNS text LANGUAGE sql STABLE AS $$
        SELECT jsonb_build_array(
            entry.prev_hash, entry.sequence, entry.id, entry.tenant_id,
            (extract(epoch FROM entry.created_at) * 1000000)::bigint,
            entry.action, entry.entity_type, entry.entity_id, entry.entity_name, entry.entity_version,
            entry.before, entry.after, entry.user_id, entry.user_name, entry.request_id
        )::text
    $$
"""


def upgrade() -> None:
    """Creates the tables, then the functions, then the triggers."""
    for statement in (*_TABLES, _CONTENT, *_FUNCTIONS, *_TRIGGERS):
        op.execute(statement)


def downgrade() -> None:
    """Drops them."""
    for table in _AUDITED:
        op.execute(f"DROP TRIGGER audit ON headrace.{table}")
    for trigger, table in (
        ("count_run", "pipeline_runs"),
        ("time_partition", "run_partitions"),
        ("count_partition", "run_partitions"),
    ):
        op.execute(f"DROP TRIGGER {trigger} ON headrace.{table}")
    for function in (
        "count_partition()",
        "time_partition()",
        "count_run()",
        "audit_row()",
        "audit_digest(jsonb, text[])",
        "audit_append(text, text, text, text, text, integer, jsonb, jsonb)",
        "audit_content(headrace.audit_log)",
    ):
        op.execute(f"DROP FUNCTION headrace.{function}")
    op.execute("ALTER TABLE headrace.run_partitions DROP COLUMN began_at")
    op.execute("ALTER TABLE headrace.api_keys DROP COLUMN revoked_reason")
    op.execute("DROP INDEX headrace.pipeline_runs_unfinished")
    for table in ("partition_seconds", "run_totals", "audit_heads", "audit_log"):
        op.execute(f"DROP TABLE headrace.{table}")
    op.execute("DROP FUNCTION headrace.audit_append_only()")
