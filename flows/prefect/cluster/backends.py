"""The operations that Prefect's futures leave to Dask or Ray. Both are extras, imported when a run uses them."""

from __future__ import annotations

from typing import Any, Protocol

from prefect import State
from prefect.task_runners import TaskRunner

from headrace.catalog.settings import Settings
from headrace.flows.runtime.errors import RunFailed

_PATIENCE_S = 30.0


class Backend(Protocol):
    """The task runner of one engine, and the futures it returns."""

    def runner(self, chosen: Settings) -> TaskRunner[Any]:
        """Prefect's task runner, not started. Raises RunFailed when the extra is not installed."""

    def connect(self, runner: TaskRunner[Any]) -> None:
        """Connects to the cluster. Raises when it cannot be reached."""

    def done(self, handle: Any) -> bool:
        """Whether the task has ended, in any state; does not wait."""

    def state(self, handle: Any) -> State[Any]:
        """The state of a task that is done. Raises when it ended without one, for example because its workers died."""

    def cancel(self, handle: Any) -> None:
        """Cancels the task if it has not begun."""


class Dask:
    """Tasks on a Dask cluster."""

    def runner(self, chosen: Settings) -> TaskRunner[Any]:
        try:
            from prefect_dask import DaskTaskRunner
        except ImportError as error:
            raise _not_installed("dask", error) from error
        named = {"address": chosen.dask_address} if chosen.dask_address else {}
        runner: TaskRunner[Any] = DaskTaskRunner(**chosen.task_runner_options, **named)
        return runner

    def connect(self, runner: TaskRunner[Any]) -> None:
        _ = runner.client  # type: ignore[attr-defined]  # made on first use

    def done(self, handle: Any) -> bool:
        return bool(handle.done())

    def state(self, handle: Any) -> State[Any]:
        state: State[Any] = handle.result(timeout=_PATIENCE_S)
        return state

    def cancel(self, handle: Any) -> None:
        handle.cancel()


class Ray:
    """Tasks on a Ray cluster."""

    def runner(self, chosen: Settings) -> TaskRunner[Any]:
        try:
            from prefect_ray import RayTaskRunner
        except ImportError as error:
            raise _not_installed("ray", error) from error
        named = {"address": chosen.ray_address} if chosen.ray_address else {}
        runner: TaskRunner[Any] = RayTaskRunner(**chosen.task_runner_options, **named)
        return runner

    def connect(self, runner: TaskRunner[Any]) -> None:
        """Does nothing: starting the runner connects to Ray."""

    def done(self, handle: Any) -> bool:
        import ray

        return bool(ray.wait([handle], timeout=0)[0])

    def state(self, handle: Any) -> State[Any]:
        import ray

        state: State[Any] = ray.get(handle, timeout=_PATIENCE_S)
        return state

    def cancel(self, handle: Any) -> None:
        import ray

        ray.cancel(handle, force=False)


BACKENDS: dict[str, type[Backend]] = {"dask": Dask, "ray": Ray}


def _not_installed(extra: str, error: ImportError) -> RunFailed:
    return RunFailed(f"HEADRACE_TASK_RUNNER is {extra}, which is not installed ({error}): install headrace[{extra}]")
