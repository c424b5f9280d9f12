"""Tools for runs: start, watch, find out why rows failed, retry, cancel."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.deployments.cli.rest import Rest, find_pipeline, run_path
from headrace.deployments.mcp.pipelines import Pipeline
from headrace.deployments.mcp.tools import reads, writes

RunId = Annotated[
    str | None, Field(pattern="^run_[0-9a-f]{32}$", description="The run's id; without it, the newest run")
]

_SAMPLES = 5
_LINES = 20


class RunTools:
    """Over one session with the API."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @reads
    def list_runs(self, pipeline: Pipeline) -> Any:
        """List the newest 20 runs of a pipeline."""
        return self._rest.get(f"/pipelines/{find_pipeline(self._rest, pipeline)['id']}/runs")

    @reads
    def get_run(self, pipeline: Pipeline, run: RunId = None) -> Any:
        """Show a run: status, why it failed, row counts in all and per node, dataset rules, progress, and the last
        lines of its log."""
        path = run_path(self._rest, pipeline, run)
        detail, progress = self._rest.get(path), self._rest.get(f"{path}/progress")
        shown = {name: progress[name] for name in ("eta", "partitions", "completedPartitions", "processedRows")}
        lines = [f"{line['timestamp']} {line['stage']}: {line['message']}" for line in progress["log"][-_LINES:]]
        return {**detail, "progress": shown, "log": lines}

    @reads
    def run_errors(
        self,
        pipeline: Pipeline,
        run: RunId = None,
        node: Annotated[str | None, Field(description="Only errors of this node")] = None,
        rule: Annotated[str | None, Field(description="Only errors of this rule")] = None,
        column: Annotated[str | None, Field(description="Only errors in this column")] = None,
        kind: Annotated[str, Field(pattern="^(failed|warned|all)$", description="failed, warned or all")] = "all",
    ) -> Any:
        """Explain the rejected rows of a run: counts by node, rule, column and file, and a few cells with file, row,
        value and error."""
        path = run_path(self._rest, pipeline, run)
        wanted = {"node": node, "rule": rule, "column": column, "kind": kind}
        totals = self._rest.get(f"{path}/errors/summary")
        cells = self._rest.get(f"{path}/errors", limit=_SAMPLES, **wanted)
        return {**totals, "matching": cells["total"], "samples": cells["errors"]}

    @writes
    def run_pipeline(
        self,
        pipeline: Pipeline,
        parameters: Annotated[
            dict[str, str | int | float | bool] | None, Field(description="Values for {{name}}")
        ] = None,
    ) -> Any:
        """Start a run of the live version; `get_run` follows it."""
        path = f"/pipelines/{find_pipeline(self._rest, pipeline)['id']}/run"
        return self._rest.post(path, {"parameters": parameters or {}})

    @writes
    def retry_run(self, pipeline: Pipeline, run: RunId = None) -> Any:
        """Retry a failed run after the rows that it committed, or run the failed rows of a run that completed with
        errors again."""
        return self._rest.post(f"{run_path(self._rest, pipeline, run)}/retry")

    @writes
    def cancel_run(self, pipeline: Pipeline, run: RunId = None) -> Any:
        """Cancel a run. Rows that it committed stay, and a retry continues after them."""
        self._rest.post(f"{run_path(self._rest, pipeline, run)}/cancel")
        return {"cancelling": True}
