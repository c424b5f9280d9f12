"""Starts the process of a run for Prefect's executor: by fork, or as a new interpreter where forking is not safe."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
from prefect.runner._process_manager import ProcessHandle, create_isolated_termination_scope
from prefect.runner._starter_engine import EngineCommandStarter

from headrace.deployments.worker.fork_client import ForkClient
from headrace.deployments.worker.job import HeadraceJobConfiguration
from headrace.flows.prefect.scheduled_runs import CHECKED_BY_WORKER
from headrace.flows.runtime.memory.current_node import BOARD

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State
    from prefect.runner._control_channel import ControlChannel

BOARD_FILE = "at-work"
"""The file in a run's folder with the node it works on; read when its process dies."""


async def starter(
    fork_client: ForkClient, configuration: HeadraceJobConfiguration, folder: Path, channel: ControlChannel
) -> ForkStarter | EngineCommandStarter:
    """The starter of a run in `folder`: by fork unless other threads make that unsafe. Raises ZygoteLost."""
    base = configuration._base_environment()
    configuration.env |= {BOARD: str(folder / BOARD_FILE), CHECKED_BY_WORKER: "yes"}
    if await fork_client.ready():
        return EngineCommandStarter(
            cwd=folder,
            env=configuration.env,
            entrypoint=configuration.entrypoint,
            stream_output=True,
            control_channel=channel,
            isolate_process_group=True,
        )
    # The child has the worker's settings; only this run's own variables are sent.
    own: dict[str, str | None] = {k: v for k, v in configuration.env.items() if base.get(k) != v}
    own["PREFECT__FLOW_ENTRYPOINT"] = configuration.entrypoint
    return ForkStarter(fork_client, own, folder, channel)


class NoHooks:
    """Runs no hooks: Headrace's flow has none, and to find them Prefect would load the flow from its deployment."""

    async def run_cancellation_hooks(self, flow_run: FlowRun, state: State[Any]) -> None:
        """Does nothing."""

    async def run_crashed_hooks(self, flow_run: FlowRun, state: State[Any]) -> None:
        """Does nothing."""


class ForkStarter:
    """Forks the run's process: `start` reports the process as started and returns when it has ended."""

    def __init__(
        self, fork_client: ForkClient, environment: dict[str, str | None], folder: Path, channel: ControlChannel
    ) -> None:
        self._fork_client, self._environment, self._folder, self._channel = fork_client, environment, folder, channel

    async def start(
        self, flow_run: FlowRun, task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        environment = {
            **self._environment,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",  # the executor runs them
        }
        with suppress(RuntimeError):  # no channel: a cancelled run is then just killed
            port, token = self._channel.register(flow_run.id)
            environment |= {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token}
        try:
            process = await self._fork_client.fork(environment, self._folder)
        except BaseException:
            self._channel.unregister(flow_run.id)
            raise
        # Prefect uses only `pid` and `returncode` of a process.
        handle = ProcessHandle(
            process,  # type: ignore[arg-type]
            termination_scope=create_isolated_termination_scope(process.pid),
        )
        task_status.started(handle)
        await process.wait()
