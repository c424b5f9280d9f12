"""Dataset rules of runs: row counts of earlier runs, and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import Engine, text, update

from headrace.catalog.models import PipelineRun
from headrace.catalog.runs.records import DatasetRuleOutcome

_EARLIER = text("""
    SELECT sum((n.counters ->> 'rowsOut')::bigint)::bigint
    FROM headrace.pipeline_runs this
    JOIN headrace.pipeline_runs r ON r.pipeline_id = this.pipeline_id AND r.id <> this.id
    JOIN headrace.run_nodes n ON n.run_id = r.id AND n.node_id = :node
    WHERE this.id = :run_id AND r.origin_run_id IS NULL AND r.status IN ('completed', 'completed_with_errors')
    GROUP BY r.id, r.created_at ORDER BY r.created_at DESC, r.id DESC LIMIT :runs
""")


class DatasetRuleStore:
    """Reads and writes what the dataset rules of runs need, by run id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def earlier_rows(self, run_id: str, node: str, runs: int) -> list[int]:
        """Returns the numbers of rows that left a node in the newest `runs` completed runs of the same pipeline, newest
        first, without replays of failed rows."""
        with self._engine.connect() as connection:
            found = connection.execute(_EARLIER, {"run_id": run_id, "node": node, "runs": runs})
            return [int(rows) for (rows,) in found if rows is not None]

    def evaluated(self, run_id: str, rules: Sequence[DatasetRuleOutcome]) -> None:
        """Stores the results of the run's dataset rules."""
        with self._engine.begin() as connection:
            values = {"rules": [asdict(rule) for rule in rules]}
            connection.execute(update(PipelineRun).where(PipelineRun.id == run_id).values(values))
