"""The events of one run: START when it begins, then COMPLETE, FAIL or ABORT with all that is known."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import version

import attr
from openlineage.client.event_v2 import Job as JobOfEvent
from openlineage.client.event_v2 import Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import RunFacet, error_message_run, job_type_job, processing_engine_run

from headrace.catalog.runs.records import RunSnapshot
from headrace.flows.lineage.openlineage.datasets import Datasets, PlannedColumns, planned_columns
from headrace.flows.lineage.openlineage.naming import run_uuid
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.input.sources import parsed
from headrace.flows.runtime.job import Job, Prepared

VERSION = version("headrace")
PRODUCER = f"urn:headrace:{VERSION}"

ENDS = {
    "completed": RunState.COMPLETE,
    "completed_with_errors": RunState.COMPLETE,
    "failed": RunState.FAIL,
    "cancelled": RunState.ABORT,
}
"""Event types by the final status of a run."""


@attr.define
class HeadraceRunFacet(RunFacet):
    """The run's ids in Headrace. A retry is not a child of the run it continues, so `retryOf` is not its parent run."""

    runId: str
    pipelineId: str
    tenantId: str
    irVersion: int
    retryOf: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{PRODUCER}:HeadraceRunFacet"


class RunLineageEvents:
    """Makes the events of one run, with what is known so far."""

    def __init__(self, job: Job, namespace: str) -> None:
        set_producer(PRODUCER)
        self._job, self._found = job, PlannedColumns()
        self._namespace = namespace.replace("{tenant}", job.pipeline.tenant_id)

    def planned(self, prepared: Prepared) -> None:
        """Takes the columns of the planned run for later events. Raises TargetError."""
        self._found = planned_columns(prepared)

    def start(self, at: datetime) -> RunEvent:
        """The START event."""
        return self._event(RunState.START, at, None)

    def end(self, status: str, at: datetime, run: RunSnapshot) -> RunEvent:
        """The event for the final status of the run."""
        return self._event(ENDS[status], at, run)

    def _event(self, state: RunState, at: datetime, run: RunSnapshot | None) -> RunEvent:
        datasets = self._datasets()
        counters = {} if run is None else run.nodes
        kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="HEADRACE", jobType="PIPELINE")
        return RunEvent(
            eventType=state,
            eventTime=at.isoformat(),
            run=Run(run_uuid(self._job.run_id), self._facets(state, run)),
            job=JobOfEvent(self._namespace, self._job.pipeline.name, {"jobType": kind}),
            inputs=datasets.inputs(counters) if datasets is not None else [],
            outputs=datasets.outputs(counters) if datasets is not None else [],
        )

    def _datasets(self) -> Datasets | None:
        """None for an invalid document; the run fails because of it."""
        try:
            return Datasets(self._job, parsed(self._job), self._found)
        except RunFailed:
            return None

    def _facets(self, state: RunState, run: RunSnapshot | None) -> dict[str, RunFacet]:
        job, pipeline = self._job, self._job.pipeline
        before = job.continues.retry_of
        retry_of = None if before is None else run_uuid(before)
        facets: dict[str, RunFacet] = {
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet(version=VERSION, name="headrace"),
            "headrace_run": HeadraceRunFacet(
                job.run_id, pipeline.id, pipeline.tenant_id, pipeline.ir_version, retry_of
            ),
        }
        if state is RunState.FAIL and run is not None:
            reason = job.without_secrets(run.failure_reason or "unknown")
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(reason, "PYTHON")
        return facets
