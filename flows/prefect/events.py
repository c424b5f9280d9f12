"""Events of runs in Prefect, for automations: `headrace.run.completed` and others.

An event is put into a queue of this process and sent by a thread of Prefect. Nothing here waits for Prefect or fails
because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, emit_event

from headrace.catalog.runs.records import PartitionStatus
from headrace.connectors.target import Resume
from headrace.flows.prefect.names import RUN_ENDS, event_related, event_resource

_REPORTED = ("completed", "failed")


@contextmanager
def last_event(flow_run: FlowRun) -> Iterator[None]:
    """Emits `RUN_ENDS` at the end of the block. It arrives after the heartbeats, which the same thread sends: Prefect's
    own event of the final state may overtake the only heartbeat of a short run, which then seems to have vanished."""
    try:
        yield
    finally:
        with suppress(Exception):  # a failed event must not fail the run
            emit_event(RUN_ENDS, resource={"prefect.resource.id": f"prefect.flow-run.{flow_run.id}"})


class RunEvents:
    """Emits the events of one run; thread-safe."""

    def __init__(self, flow_run: FlowRun, pipeline_id: str, pipeline_name: str, tenant_id: str) -> None:
        self._resource = event_resource(pipeline_id, pipeline_name)
        deployment = flow_run.deployment_id
        # Stored here, because partitions run in threads without the context of the flow run.
        self._related = event_related(
            tenant_id,
            flow_run_id=str(flow_run.id),
            flow_run_name=flow_run.name,
            deployment_id=None if deployment is None else str(deployment),
        )
        self._run = {"runId": f"run_{flow_run.id.hex}", "pipelineId": pipeline_id, "tenantId": tenant_id}
        self._before: Event | None = None

    def run(self, what: str, payload: Mapping[str, Any]) -> None:
        """Emits `headrace.run.<what>`, which follows the previous event of the run."""
        self._before = self._emit(f"headrace.run.{what}", payload, follows=self._before) or self._before

    def partition(self, stage: int, index: int, status: PartitionStatus, committed: Resume) -> None:
        """Emits `headrace.partition.completed` or `.failed`, or the same for a publication; nothing for other
        statuses."""
        if status not in _REPORTED:
            return
        kind = "partition" if stage >= 0 else "publication"
        payload = {
            "stage": stage if stage >= 0 else -1 - stage,
            "partition": index,
            "rowsIn": committed.rows_done,
            "rowsOut": committed.rows_loaded,
            "failedRows": committed.rows_failed,
            "skippedRows": committed.rows_skipped,
        }
        self._emit(f"headrace.{kind}.{status}", payload, follows=self._before)

    def _emit(self, name: str, payload: Mapping[str, Any], follows: Event | None) -> Event | None:
        with suppress(Exception):  # a failed event must not fail the run
            return emit_event(
                name,
                resource=self._resource,
                related=[dict(each) for each in self._related],
                payload={**self._run, **payload},
                follows=follows,
            )
        return None
