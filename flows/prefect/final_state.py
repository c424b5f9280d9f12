"""Decides whether a run that has finished its work ends completed or cancelled, by the order of states in Prefect.

Cancellation and completion are both states in Prefect, which accepts the first of them and rejects the other. A run is
recorded as completed only after Prefect accepted that state; a cancellation that Prefect rejects is answered with the
information that the run has ended.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import httpx
from prefect import State, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import OrchestrationResult
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.utilities.engine import propose_state

from headrace.flows.prefect.names import ROWS_FAILED
from headrace.flows.prefect.tags import set_tags

_PATIENCE_S = 60.0
_STOPPING_S = 3.0


class FinalState:
    """The final state of one run, in the run's process."""

    def __init__(self, flow_run: FlowRun) -> None:
        self._flow_run = flow_run
        self._proposed: State[Any] | None = None

    @property
    def state(self) -> State[Any]:
        """The state passed to `agreed`."""
        assert self._proposed is not None
        return self._proposed

    async def agreed(self, state: State[Any], *, rows_failed: bool) -> bool:
        """Proposes the final state to Prefect. Returns whether it was accepted; False when the run is being cancelled.

        With `rows_failed` the run gets the tag `rows-failed` before, so that whoever sees it completed sees the tag.
        When Prefect does not respond for a minute, returns True: the rows are loaded, and no cancellation is possible.
        """
        self._proposed = state
        try:
            async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                if rows_failed or ROWS_FAILED in self._flow_run.tags:  # one that is run again may have it
                    await set_tags(client, self._flow_run, {ROWS_FAILED: rows_failed})
                # A copy, because the engine replaces a state that was already proposed by a new one.
                taken = await propose_state(client, state.model_copy(deep=True), flow_run_id=self._flow_run.id)
        except Abort:
            return False  # it has ended in Prefect
        except (httpx.HTTPError, TimeoutError):
            return True
        if not taken.is_completed():
            return False
        _skip_second_proposal(taken)
        return True

    async def accepted(self) -> bool:
        """For a run that was interrupted: whether Prefect has nevertheless accepted the completed state."""
        if self._proposed is None:
            return False
        try:
            async with asyncio.timeout(_STOPPING_S), get_client() as client:
                now = (await client.read_flow_run(self._flow_run.id)).state
        except (httpx.HTTPError, TimeoutError):
            return False
        return now is not None and now.is_completed()


def _skip_second_proposal(taken: State[Any]) -> None:
    """Makes the engine's proposal of the state that the flow returns a no-op: a second Completed state would be a
    second event and trigger automations twice."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    client: Any = context.client
    propose, run_id = client.set_flow_run_state, context.flow_run.id
    # The engine does not change a final state when the process is stopped.
    context.flow_run.state = taken

    async def set_flow_run_state(flow_run_id: UUID, state: State[Any], force: bool = False) -> OrchestrationResult[Any]:
        if (flow_run_id, state.type, state.name) == (run_id, taken.type, taken.name):
            answer = {"state": taken, "status": "ACCEPT", "details": {"type": "accept_details"}}
            return OrchestrationResult.model_validate(answer)
        result: OrchestrationResult[Any] = await propose(flow_run_id, state, force=force)
        return result

    client.set_flow_run_state = set_flow_run_state
