"""A client of the REST API: start pipelines, wait for their runs, read results and errors.

    from headrace import Client

    with Client("http://127.0.0.1:8000/api/v1", api_key="hr_...") as client:
        result = client.wait(client.run("Orders", parameters={"day": "2026-01-15"}))
        print(result.status, result.rows_out, result.failed)
        for error in client.errors(result):
            print(error.file, error.row, error.node, error.column, error.value, error.error)

Needs httpx and no server code. Every method raises `HeadraceError` when the API does not answer, and its subclass
`ApiRefused` (with `status` and `problems`) when the API rejects the request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self

from headrace.deployments.cli.rest import ApiRefused, Rest, find_pipeline
from headrace.deployments.errors import HeadraceError
from headrace.ir.parameters import ParameterValue

__all__ = ["ApiRefused", "Client", "ErrorTotal", "HeadraceError", "RowError", "RowSource", "Run", "RunResult"]

ENDED = frozenset({"completed", "completed_with_errors", "failed"})
"""Final statuses of a run."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that was requested."""

    id: str
    pipeline_id: str
    status: str
    """`pending`, `running`, `completed`, `completed_with_errors` or `failed`."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class RunResult:
    """The status and row counts of a run. `rows_in` = `rows_out` + `failed` + `skipped`, unless ops change the number
    of rows.

    `rows_in` and `rows_out` are 0 until the run has begun; `url` is the address of the run in the API.
    """

    id: str
    pipeline_id: str
    status: str
    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    failure_reason: str | None
    url: str

    @property
    def ended(self) -> bool:
        """Whether the status is final."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class RowSource:
    """A row of a source node. `row` counts from 1 in `file`, or in the source when it has no files; it is None when
    several rows were combined into one."""

    node: str
    file: str | None
    row: int | None


@dataclass(frozen=True, slots=True)
class RowError:
    """A cell that violated a rule; `column` is None when the error concerns the whole row. `kind` is `failed`, or
    `warned` when the row was loaded nevertheless. `sources` are the source rows of the cell: several after a join."""

    row: int
    column: str | None
    value: str | None
    error: str
    node: str
    rule: str
    kind: str
    stage: int
    sources: tuple[RowSource, ...]

    @property
    def file(self) -> str | None:
        """The file of the source row; after a join, the file of the left side."""
        return self.sources[0].file if self.sources else None


@dataclass(frozen=True, slots=True)
class ErrorTotal:
    """The number of `cells` and `rows` that violated one rule of a node in one column of one file. `error` is the text
    of one of these errors."""

    node: str
    rule: str
    kind: str
    column: str | None
    file: str | None
    error: str
    cells: int
    rows: int


_ROW_ERROR = frozenset({"row", "column", "value", "error", "node", "rule", "kind", "stage"})


class Client:
    """A session with a Headrace API, and a context manager. Arguments named `pipeline` take a name or an id."""

    def __init__(self, url: str | None = None, api_key: str | None = None) -> None:
        """`url` ends in `/api/v1`. The defaults are the environment variables HEADRACE_URL and HEADRACE_API_KEY."""
        found = url or os.environ.get("HEADRACE_URL")
        if not found:
            raise HeadraceError("The URL of the API is not known.", "Give its URL, or set HEADRACE_URL.")
        self.url = found.rstrip("/").removesuffix("/api/v1") + "/api/v1"
        self._rest = Rest(self.url, api_key or os.environ.get("HEADRACE_API_KEY", ""))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._rest.__exit__(None, None, None)

    def pipelines(self) -> list[dict[str, Any]]:
        """Every pipeline of the tenant, as dicts in the format of the API."""
        return self._rest.all("/pipelines")

    def pipeline_id(self, pipeline: str) -> str:
        """The id of the pipeline with that name, else with that id. Raises HeadraceError when there is none."""
        return str(find_pipeline(self._rest, pipeline)["id"])

    def run(
        self,
        pipeline: str,
        *,
        parameters: Mapping[str, ParameterValue] | None = None,
        ir_version: int | None = None,
        idempotency_key: str | None = None,
    ) -> Run:
        """Starts a run of the live IR version, or of `ir_version`. `parameters` replace `{{name}}` in the configs of
        the sources. Calls with the same `idempotency_key` return the same run."""
        body: dict[str, Any] = {"parameters": dict(parameters or {})}
        if ir_version is not None:
            body["irVersion"] = ir_version
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
        return _run(self._rest.post(f"/pipelines/{self.pipeline_id(pipeline)}/run", body, headers))

    def result(self, run: Run | RunResult) -> RunResult:
        """The current status and row counts of the run."""
        path = _path(run)
        found = self._rest.get(path)
        counts = found["statistics"]
        return RunResult(
            id=found["id"],
            pipeline_id=found["pipelineId"],
            status=found["status"],
            rows_in=counts["rowsIn"] or 0,
            rows_out=counts["rowsOut"] or 0,
            failed=counts["failedRows"],
            skipped=counts["skippedRows"],
            failure_reason=found["failureReason"],
            url=f"{self.url}{path}",
        )

    def wait(self, run: Run | RunResult, *, timeout_s: float | None = None, poll_s: float = 0.5) -> RunResult:
        """Waits until the run has ended and returns its result. Raises TimeoutError after `timeout_s`; the run
        continues."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            found = self.result(run)
            if found.ended:
                return found
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"Run {run.id} is still {found.status} after {timeout_s:g} s")
            time.sleep(poll_s)

    def errors(
        self,
        run: Run | RunResult,
        *,
        kind: Literal["failed", "warned", "all"] = "failed",
        node: str | None = None,
        rule: str | None = None,
        column: str | None = None,
        file: str | None = None,
    ) -> Iterator[RowError]:
        """Every rejected cell, ordered by row, fetched page by page. The kind `warned` has the cells of rows that were
        loaded with a warning. `node`, `rule`, `column` and `file` filter the cells."""
        cursor: str | None = None
        meant = {"kind": kind, "node": node, "rule": rule, "column": column, "file": file}
        while True:
            page = self._rest.get(f"{_path(run)}/errors", limit=1000, cursor=cursor, **meant)
            for each in page["errors"]:
                facts = {name: value for name, value in each.items() if name in _ROW_ERROR}
                sources = (RowSource(of["node"], of.get("file"), of.get("row")) for of in each["sources"])
                yield RowError(**facts, sources=tuple(sources))
            cursor = page["pagination"]["cursor"]
            if cursor is None:
                return

    def error_totals(self, run: Run | RunResult) -> list[ErrorTotal]:
        """Counts of errors by node, rule, kind, column and file, largest first; at most 1,000 entries."""
        totals = self._rest.get(f"{_path(run)}/errors/summary")["totals"]
        return [ErrorTotal(**each) for each in totals]

    def retry(self, run: Run | RunResult) -> Run:
        """Starts a run that continues a failed run after the rows it committed, or that runs the failed rows of a run
        that completed with errors again."""
        started = self._rest.post(f"{_path(run)}/retry")
        return Run(started["id"], started["pipelineId"], started["status"], datetime.now().astimezone())

    def cancel(self, run: Run | RunResult) -> None:
        """Requests that the run stop. It ends `failed` with the reason `cancelled`; committed rows stay loaded."""
        self._rest.post(f"{_path(run)}/cancel")


def _path(run: Run | RunResult) -> str:
    return f"/pipelines/{run.pipeline_id}/runs/{run.id}"


def _run(shown: dict[str, Any]) -> Run:
    return Run(shown["id"], shown["pipelineId"], shown["status"], datetime.fromisoformat(shown["createdAt"]))
