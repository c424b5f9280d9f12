"""Updates the counts of a failed run from the ledger: a run reports once a second, and may have committed more before
it died."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError


def copy_ledger_counts(connection: Connection, run_id: str) -> None:
    """Sets the counts of the run's partitions, publications and nodes to the committed ones, in the caller's
    transaction. On a database error the counts stay as last reported, as they do for a run with targets in other
    databases, whose ledgers are there."""
    with suppress(SQLAlchemyError), connection.begin_nested():
        there = connection.execute(text("SELECT to_regclass('_headrace.staging_ledger') IS NOT NULL")).scalar()
        if there:
            for statement in (_PARTITIONS, _NODES):
                connection.execute(statement, {"run_id": run_id})


# Publications have negative stages: the number of their target among those of the plan, in document order.
# A load that only this run can resume is in the ledger under the run's id with a suffix
# (connectors.postgresql.ledger.partitions).
_COMMITTED = """
    WITH run AS (
        SELECT r.id, r.root_run_id, r.pipeline_id, r.ir_version, r.plan
        FROM headrace.pipeline_runs r WHERE r.id = :run_id AND r.plan IS NOT NULL AND NOT r.plan ? 'databases'),
    planned (node) AS (
        SELECT DISTINCT jsonb_array_elements_text(stage -> 'nodes')
        FROM run, jsonb_array_elements(run.plan -> 'stages') AS stage),
    target (node, number) AS (
        SELECT node.value ->> 'id', row_number() OVER (ORDER BY node.ordinality)
        FROM run JOIN headrace.pipeline_ir_versions v ON v.pipeline_id = run.pipeline_id AND v.version = run.ir_version,
             jsonb_array_elements(v.ir -> 'nodes') WITH ORDINALITY AS node
        WHERE node.value ->> 'kind' = 'target' AND node.value ->> 'id' IN (SELECT planned.node FROM planned)),
    ledger AS (
        SELECT l.*, l.partition + coalesce(CAST(run.plan -> 'epoch' ->> 'base' AS int), 0) AS place,
               CASE WHEN l.kind IN ('publication', 'comparison') THEN -target.number ELSE l.stage END AS counted_as,
               CASE WHEN l.kind IN ('publication', 'comparison') OR run.plan -> 'stages' -> l.stage ? 'gathers' THEN 0
                    ELSE l.rows_done END AS rows_read,
               CASE WHEN l.kind IN ('load', 'exchange') AND run.plan -> 'stages' -> l.stage ? 'gathers'
                    THEN l.rows_done END AS rows_gathered
        FROM run
        JOIN (SELECT * FROM _headrace.ledger UNION ALL SELECT * FROM _headrace.staging_ledger) AS l
            ON l.root_run_id IN (run.root_run_id || coalesce('.' || (run.plan -> 'epoch' ->> 'number'), ''),
                                 run.id || '/full')
        LEFT JOIN target ON target.node = l.target_node
        WHERE l.kind IN ('load', 'exchange') OR (l.kind IN ('publication', 'comparison') AND target.number IS NOT NULL))
"""

# All targets of a stage get the same rows, so the one that is furthest counts.
_PARTITIONS = text(f"""{_COMMITTED}
    INSERT INTO headrace.run_partitions AS p
        (run_id, stage, "index", planned_rows, status, rows_in, rows_out, failed, skipped, base_rows,
         gathered_rows)
    SELECT :run_id, counted_as, place, 0, 'completed', max(rows_read), sum(rows_loaded), sum(rows_failed),
           sum(rows_skipped), 0, max(rows_gathered)
    FROM ledger
    WHERE counted_as < 0 OR EXISTS (SELECT FROM headrace.run_partitions known
        WHERE known.run_id = :run_id AND known.stage = counted_as AND known.index = place)
    GROUP BY counted_as, place
    ON CONFLICT (run_id, stage, "index") DO UPDATE
    SET rows_in = excluded.rows_in, rows_out = excluded.rows_out, failed = excluded.failed,
        skipped = excluded.skipped, gathered_rows = excluded.gathered_rows,
        status = CASE WHEN p.stage < 0 THEN 'completed' ELSE p.status END
""")  # noqa: S608

_NODES = text(f"""{_COMMITTED}
    INSERT INTO headrace.run_nodes (run_id, stage, "partition", node_id, counters)
    SELECT :run_id, counted_as, place, node, jsonb_object_agg(counter, total)
    FROM (
        SELECT counted_as, place, node.key AS node, counter.key AS counter, sum(counter.value::numeric) AS total
        FROM ledger, jsonb_each(ledger.counters) AS node, jsonb_each_text(node.value) AS counter
        GROUP BY counted_as, place, node.key, counter.key) AS counted
    GROUP BY counted_as, place, node
    ON CONFLICT (run_id, stage, "partition", node_id) DO UPDATE SET counters = excluded.counters
""")  # noqa: S608
