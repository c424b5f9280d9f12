"""Events of runs in Prefect's event feed, for automations: `headrace.run.completed` and its kin.

Emitting puts an event into a queue of this process and returns; a thread of Prefect's sends it. Nothing here waits for
Prefect or fails because of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.events import Event, emit_event

from connectors.base import Resume
from flows.event_shapes import related_of, resource_of
from flows.runtime.journal import PartitionStatus

_TOLD = ("completed", "failed")


class RunEvents:
    """The events of one run; callable from any thread."""

    def __init__(self, flow_run: FlowRun, pipeline_id: str, pipeline_name: str, tenant_id: str) -> None:
        self._resource = resource_of(pipeline_id, pipeline_name)
        deployment = flow_run.deployment_id
        # Named here and not looked up: partitions run in threads that know no flow run.
        self._related = related_of(
            tenant_id,
            flow_run_id=str(flow_run.id),
            flow_run_name=flow_run.name,
            deployment_id=None if deployment is None else str(deployment),
        )
        self._run = {"runId": f"run_{flow_run.id.hex}", "pipelineId": pipeline_id, "tenantId": tenant_id}
        self._before: Event | None = None

    def run(self, what: str, payload: Mapping[str, Any]) -> None:
        """`headrace.run.<what>`, behind the run's event before it."""
        self._before = self._emit(f"headrace.run.{what}", payload, follows=self._before) or self._before

    def partition(self, stage: int, index: int, status: PartitionStatus, committed: Resume) -> None:
        """`headrace.partition.completed` and `.failed`, of publications too; nothing for what is on its way."""
        if status not in _TOLD:
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
        with suppress(Exception):  # an event that cannot be made is no reason for a run to fail
            return emit_event(
                name,
                resource=self._resource,
                related=[dict(each) for each in self._related],
                payload={**self._run, **payload},
                follows=follows,
            )
        return None
