"""The SQL statements of the run store, and the lines of a run's log."""

from __future__ import annotations

from sqlalchemy import literal, select, text
from sqlalchemy.dialects.postgresql import Insert, insert

from headrace.catalog.models import PipelineRun, RunLog
from headrace.catalog.runs.records import LogLevel, LogStage

PIPELINE = text("""
    SELECT p.id, p.tenant_id, p.name, p.execution_config, coalesce(:ir_version, p.live_version) AS ir_version, v.ir,
           c.id AS connector_id, c.type AS connector_type, c.config, c.auth_sealed,
           ARRAY(SELECT s.table_name FROM headrace.schemas s WHERE s.tenant_id = p.tenant_id) AS tables
    FROM headrace.pipelines p
    JOIN headrace.connectors c ON c.id = p.connector_id
    LEFT JOIN headrace.pipeline_ir_versions v
        ON v.pipeline_id = p.id AND v.version = coalesce(:ir_version, p.live_version)
    WHERE p.id = :pipeline_id
""")

CONNECTORS = text("""
    SELECT c.id, c.name, c.type, c.config, c.auth_sealed FROM headrace.connectors c
    WHERE c.tenant_id = :tenant_id AND (c.id = ANY(:named) OR c.name = ANY(:named))
    ORDER BY c.created_at, c.id
""")

OPEN = text("""
    INSERT INTO headrace.pipeline_runs AS run
        (id, tenant_id, pipeline_id, ir_version, root_run_id, retry_of, origin_run_id, parameters, load_strategy,
         status, created_at, lags)
    VALUES (:id, :tenant_id, :pipeline_id, :ir_version, :root_run_id, :retry_of, :origin_run_id,
            CAST(:parameters AS jsonb), :load_strategy, :status, coalesce(CAST(:created_at AS timestamptz), now()),
            CASE WHEN :streams THEN CAST('{}' AS jsonb) END)
    ON CONFLICT (id) DO UPDATE SET created_at = least(run.created_at, excluded.created_at)
""")

BEGIN = text("""
    UPDATE headrace.pipeline_runs
    SET status = 'running', ir_version = :ir_version, root_run_id = :root_run_id, retry_of = :retry_of,
        origin_run_id = :origin_run_id, parameters = CAST(:parameters AS jsonb), load_strategy = :load_strategy,
        started_at = coalesce(started_at, now()), finished_at = NULL, failure_reason = NULL,
        skip_reason = NULL, lags = CASE WHEN :streams THEN coalesce(lags, '{}') END
    WHERE id = :id
""")

STARTED = text("""
    UPDATE headrace.pipeline_runs
    SET status = 'running', total_rows = :total_rows, fingerprint = CAST(:fingerprint AS jsonb),
        plan = CAST(:plan AS jsonb), attempt = attempt + 1, started_at = coalesce(started_at, now()),
        measured_from = now(), finished_at = NULL, failure_reason = NULL,
        skip_reason = NULL
    WHERE id = :run_id
""")

SKIP = text("""
    UPDATE headrace.pipeline_runs
    SET status = 'completed', skip_reason = :reason, failure_reason = NULL, started_at = NULL, finished_at = now(),
        rows_in = 0, rows_out = 0, failed_rows = 0, skipped_rows = 0
    WHERE id = :run_id AND status IN ('pending', 'running') AND plan IS NULL
""")

BEGUN = text("SELECT started_at IS NOT NULL FROM headrace.pipeline_runs WHERE id = :run_id")

PLANNED = text("SELECT plan IS NOT NULL FROM headrace.pipeline_runs WHERE id = :run_id")

FIRST_OF_CHAIN = text("""
    WITH RECURSIVE chain AS (
        SELECT id, retry_of FROM headrace.pipeline_runs WHERE id = :run_id
        UNION
        SELECT earlier.id, earlier.retry_of
        FROM headrace.pipeline_runs earlier JOIN chain ON earlier.id = chain.retry_of)
    SELECT id FROM chain
    WHERE NOT EXISTS (SELECT FROM headrace.pipeline_runs earlier WHERE earlier.id = chain.retry_of)
""")

DROP_UNPLANNED = text("""
    DELETE FROM headrace.run_partitions p
    WHERE p.run_id = :run_id AND NOT EXISTS (
        SELECT FROM unnest(CAST(:stages AS int[]), CAST(:indexes AS int[])) AS planned (stage, index)
        WHERE planned.stage = p.stage AND planned.index = p.index)
""")

PLAN_PARTITIONS = text("""
    INSERT INTO headrace.run_partitions AS p (run_id, stage, "index", planned_rows, status, base_rows)
    SELECT run.id, planned.stage, planned.index, planned.rows, 'pending',
           CASE WHEN run.attempt = 1 AND run.retry_of IS NULL THEN 0 END
    FROM headrace.pipeline_runs run,
         unnest(CAST(:stages AS int[]), CAST(:indexes AS int[]), CAST(:rows AS bigint[]))
             AS planned (stage, index, rows)
    WHERE run.id = :run_id
    ON CONFLICT (run_id, stage, "index") DO UPDATE
    SET planned_rows = excluded.planned_rows, base_rows = NULL, updated_at = now(),
        status = CASE p.status WHEN 'completed' THEN 'completed' ELSE 'pending' END
""")

COUNT_NODES = text("""
    INSERT INTO headrace.run_nodes (run_id, stage, "partition", node_id, counters)
    SELECT :run_id, :stage, :partition, node.key, node.value FROM jsonb_each(CAST(:nodes AS jsonb)) AS node
    ON CONFLICT (run_id, stage, "partition", node_id) DO UPDATE SET counters = excluded.counters
""")

FAILED_ROWS = text("""
    SELECT stage, "partition", node_id, array_agg(DISTINCT "row")
    FROM headrace.run_errors WHERE root_run_id = :root AND NOT warning
    GROUP BY stage, "partition", node_id
""")

HOLD_RUN = text("SELECT TRUE FROM headrace.pipeline_runs WHERE id = :run FOR KEY SHARE")
"""The run cannot be deleted before the end of the transaction."""

STORE_ERRORS = text("""
    INSERT INTO headrace.run_errors
        (root_run_id, run_id, node_id, stage, "partition", warning, "row", "column", value, error, rule, sources)
    SELECT :root, :run, :node, :stage, :partition, :warning, cell.row, cell.column, cell.value, cell.error, cell.rule,
           coalesce(CAST(cell.sources AS jsonb), '[]')
    FROM json_to_recordset(CAST(:cells AS json))
        AS cell ("row" bigint, "column" text, value text, error text, rule text, sources text)
    ON CONFLICT (root_run_id, node_id, rule, "column", warning, "row", "partition", stage) DO NOTHING
""")


MAX_MESSAGE_CHARS = 4000


def log_line(run_id: str, stage: LogStage, message: str, level: LogLevel = "info") -> Insert:
    """Returns the statement that adds a line to a run's log, if the run is known.

    The run is locked before the line gets its id, until the commit: who sees a line sees all lines of the run with
    lower ids, so that whoever reads on after the last one that he has seen misses none. Errors, counts and foreign keys
    of the run are not kept waiting by this lock."""
    run = select(PipelineRun.id).where(PipelineRun.id == run_id).with_for_update(key_share=True).cte("run")
    line = select(run.c.id, literal(stage), literal(storable(message, MAX_MESSAGE_CHARS)), literal(level))
    return insert(RunLog).from_select(["run_id", "stage", "message", "level"], line)


def storable(value: str, limit: int) -> str:
    """Returns the first `limit` characters of a text, without NUL and lone surrogates, which PostgreSQL cannot
    store."""
    return value[:limit].replace("\x00", "").encode("utf-8", "replace").decode()
