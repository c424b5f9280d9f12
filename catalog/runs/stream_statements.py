"""The SQL statements of the store of streaming runs."""

from __future__ import annotations

from sqlalchemy import text

FOLDED = 0
"""The partition that has the counts of all finished epochs."""

EPOCH = text("""
    UPDATE headrace.pipeline_runs run
    SET status = 'running', fingerprint = CAST(:fingerprint AS jsonb), plan = CAST(:plan AS jsonb),
        total_rows = :rows + (SELECT coalesce(sum(p.rows_in), 0) FROM headrace.run_partitions p
                              WHERE p.run_id = run.id AND p.index < :base),
        attempt = attempt + CASE WHEN :begins THEN 1 ELSE 0 END,
        started_at = coalesce(started_at, now()),
        measured_from = CASE WHEN :begins THEN now() ELSE measured_from END,
        finished_at = NULL, failure_reason = NULL, skip_reason = NULL
    WHERE id = :run_id
""")

DROP_UNPLANNED = text("""
    DELETE FROM headrace.run_partitions p
    WHERE p.run_id = :run_id AND p.index >= :base AND NOT EXISTS (
        SELECT FROM unnest(CAST(:stages AS int[]), CAST(:indexes AS int[])) AS planned (stage, index)
        WHERE planned.stage = p.stage AND planned.index = p.index)
""")

PLAN = text("""
    INSERT INTO headrace.run_partitions AS p (run_id, stage, "index", planned_rows, status, base_rows)
    SELECT :run_id, planned.stage, planned.index, planned.rows, 'pending', 0
    FROM unnest(CAST(:stages AS int[]), CAST(:indexes AS int[]), CAST(:planned AS bigint[]))
             AS planned (stage, index, rows)
    ON CONFLICT (run_id, stage, "index") DO UPDATE
    SET planned_rows = excluded.planned_rows, base_rows = NULL, updated_at = now(),
        status = CASE p.status WHEN 'completed' THEN 'completed' ELSE 'pending' END
""")

_MORE = 'ON CONFLICT (run_id, stage, "index") DO UPDATE SET ' + ", ".join(
    f"{name} = p.{name} + excluded.{name}"
    for name in ("planned_rows", "rows_in", "rows_out", "failed", "skipped", "base_rows")
)

_SUMS = f"""
    INSERT INTO headrace.run_partitions AS p
        (run_id, stage, "index", planned_rows, status, rows_in, rows_out, failed, skipped, base_rows)
    SELECT :run_id, stage, {FOLDED}, sum(rows_in), 'completed', sum(rows_in), sum(rows_out), sum(failed), sum(skipped),
           sum(rows_in)
    FROM folded GROUP BY stage {_MORE}
"""  # noqa: S608

_NODE_SUMS = f"""
    INSERT INTO headrace.run_nodes AS n (run_id, stage, "partition", node_id, counters)
    SELECT :run_id, stage, {FOLDED}, node_id, jsonb_object_agg(name, total)
    FROM (SELECT stage, node_id, counter.key AS name, sum(counter.value::numeric) AS total
          FROM folded, jsonb_each_text(folded.counters) AS counter GROUP BY stage, node_id, counter.key) AS counted
    GROUP BY stage, node_id
    ON CONFLICT (run_id, stage, "partition", node_id) DO UPDATE SET counters = (
        SELECT jsonb_object_agg(name, total) FROM (
            SELECT counter.key AS name, sum(counter.value::numeric) AS total
            FROM (SELECT * FROM jsonb_each_text(n.counters) UNION ALL SELECT * FROM jsonb_each_text(excluded.counters))
                AS counter
            GROUP BY counter.key) AS both_of_them)
"""  # noqa: S608

FOLD = (
    text(f"""
    WITH folded AS (DELETE FROM headrace.run_partitions
                    WHERE run_id = :run_id AND "index" > {FOLDED} AND "index" < :base RETURNING *) {_SUMS}
"""),  # noqa: S608
    text(f"""
    WITH folded AS (DELETE FROM headrace.run_nodes
                    WHERE run_id = :run_id AND "partition" > {FOLDED} AND "partition" < :base RETURNING *) {_NODE_SUMS}
"""),  # noqa: S608
)

# A retry has the counts of its chain, as any retry has; it takes them over once.
TAKE_OVER = (
    text(f"""
    WITH folded AS (SELECT * FROM headrace.run_partitions
                    WHERE run_id = :counted_by AND "index" < :base
                      AND NOT EXISTS (SELECT FROM headrace.run_partitions mine
                                      WHERE mine.run_id = :run_id AND mine.index < :base)) {_SUMS}
"""),  # noqa: S608
    text(f"""
    WITH folded AS (SELECT * FROM headrace.run_nodes
                    WHERE run_id = :counted_by AND "partition" < :base
                      AND NOT EXISTS (SELECT FROM headrace.run_nodes mine
                                      WHERE mine.run_id = :run_id AND mine.partition < :base)) {_NODE_SUMS}
"""),  # noqa: S608
)

LOOKED = text("""
    UPDATE headrace.pipeline_runs SET lags = CAST(:lags AS jsonb), looked_at = clock_timestamp()
    WHERE id = :run_id AND status = 'running'
""")

LAST_LAGS = text("""
    SELECT lags FROM headrace.pipeline_runs
    WHERE pipeline_id = :pipeline_id AND lags <> '{}' ORDER BY created_at DESC, id DESC LIMIT 1
""")

WISHES = text("""
    SELECT p.live_version, p.execution_config, p.status = 'paused' AS paused,
           (SELECT r.id FROM headrace.pipeline_runs r
            WHERE r.pipeline_id = p.id AND r.status = 'pending' AND r.id <> :run_id AND r.lags IS NULL
            ORDER BY r.created_at LIMIT 1) AS waiting
    FROM headrace.pipelines p WHERE p.id = :pipeline_id
""")

STREAMING = text("""
    SELECT id FROM headrace.pipeline_runs
    WHERE pipeline_id = :pipeline_id AND lags IS NOT NULL AND status IN ('pending', 'running')
    ORDER BY created_at LIMIT 1
""")

BEFORE = text("""
    SELECT other.id FROM headrace.pipeline_runs run JOIN headrace.pipeline_runs other USING (pipeline_id)
    WHERE run.id = :run_id AND other.lags IS NOT NULL AND (other.created_at, other.id) < (run.created_at, run.id)
    ORDER BY other.created_at DESC, other.id DESC LIMIT 1
""")

ENDED = text("""
    SELECT p.id AS pipeline_id, p.tenant_id, p.name AS pipeline_name, p.deployment_id, p.live_version,
           last.id AS run_id, last.status, last.failure_reason, last.plan IS NOT NULL AS planned, last.parameters,
           last.created_at, coalesce(last.finished_at, last.created_at) AS ended_at, last.load_strategy,
           last.root_run_id, clock_timestamp() AS now,
           (SELECT count(*) FROM (
                SELECT bool_and(r.status = 'failed' AND coalesce(r.finished_at, r.created_at) - r.created_at
                                < make_interval(secs => :soon)) OVER (ORDER BY r.created_at DESC, r.id DESC) AS failing
                FROM headrace.pipeline_runs r WHERE r.pipeline_id = p.id AND r.lags IS NOT NULL
                ORDER BY r.created_at DESC, r.id DESC LIMIT :recent) AS recent
            WHERE failing) AS failures
    FROM headrace.pipelines p
    CROSS JOIN LATERAL (
        SELECT r.* FROM headrace.pipeline_runs r WHERE r.pipeline_id = p.id AND r.lags IS NOT NULL
        ORDER BY r.created_at DESC, r.id DESC LIMIT 1) AS last
    WHERE p.execution_config ->> 'mode' = 'streaming' AND p.status <> 'paused' AND p.live_version IS NOT NULL
      AND (CAST(:pipeline_id AS text) IS NULL OR p.id = :pipeline_id)
      AND last.failure_reason IS DISTINCT FROM :cancelled
      AND NOT EXISTS (SELECT FROM headrace.pipeline_runs r WHERE r.pipeline_id = p.id AND r.lags IS NOT NULL
                      AND r.status IN ('pending', 'running'))
    ORDER BY p.id
""")

LAGS = text("""
    SELECT pipeline_id, lags, clock_timestamp() AS now FROM headrace.pipeline_runs
    WHERE status = 'running' AND lags IS NOT NULL ORDER BY pipeline_id
""")
