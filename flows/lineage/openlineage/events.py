"""The events of one run: START when it begins, then COMPLETE, FAIL or ABORT with all that is known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any

import attr
from openlineage.client.event_v2 import Job as JobOfEvent
from openlineage.client.event_v2 import Run, RunEvent, RunState, set_producer
from openlineage.client.facet_v2 import RunFacet, error_message_run, job_type_job, processing_engine_run
from psycopg.conninfo import conninfo_to_dict

from catalog.run_records import RunSnapshot
from flows.lineage.openlineage.datasets import Datasets
from flows.lineage.openlineage.naming import run_uuid
from flows.lineage.openlineage.observed import Observed, observed
from flows.runtime.job import Job, Prepared
from flows.runtime.limits import RunFailed
from flows.runtime.prepare import parsed

VERSION = version("headrace")
PRODUCER = f"urn:headrace:{VERSION}"

ENDS = {
    "completed": RunState.COMPLETE,
    "completed_with_errors": RunState.COMPLETE,
    "failed": RunState.FAIL,
    "cancelled": RunState.ABORT,
}
"""By how a run ended."""

_HIDDEN = "***"


@attr.define
class HeadraceRunFacet(RunFacet):
    """The run in Headrace's words. A retry is no child of the run it continues, so that is not its parent run."""

    runId: str
    pipelineId: str
    tenantId: str
    irVersion: int
    retryOf: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return f"{PRODUCER}:HeadraceRunFacet"


class RunLineageEvents:
    """Makes the events of one run, as more and more is known of it."""

    def __init__(self, job: Job, namespace: str) -> None:
        set_producer(PRODUCER)
        self._job, self._found = job, Observed()
        self._namespace = namespace.replace("{tenant}", job.pipeline.tenant_id)

    def planned(self, prepared: Prepared) -> None:
        """The run is planned: its columns are known from now on. Raises TargetError."""
        self._found = observed(prepared)

    def start(self, at: datetime) -> RunEvent:
        """The run began."""
        return self._event(RunState.START, at, None)

    def end(self, status: str, at: datetime, run: RunSnapshot) -> RunEvent:
        """The run ended so."""
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
        """None for a document that is not valid, of which the run's failure tells."""
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
            reason = _without(run.failure_reason or "unknown", self._secrets())
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(reason, "PYTHON")
        return facets

    def _secrets(self) -> Iterator[str]:
        yield from _texts(self._job.pipeline.connector.credentials)
        yield str(conninfo_to_dict(self._job.database_url).get("password") or "")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, str):
        yield value


def _without(text: str, secrets: Iterable[str]) -> str:
    """A text without what must not be seen, should some library's error have quoted it."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) > 3:  # a shorter one is in every text
            text = text.replace(secret, _HIDDEN)
    return text
