"""What Dask and Ray each call the same things. They are extras: imported when a run is to use them."""

from __future__ import annotations

from typing import Any

from prefect import State
from prefect.task_runners import TaskRunner

from catalog.settings import Settings
from flows.prefect.cluster import Backend
from flows.runtime.limits import RunFailed

_PATIENCE_S = 30.0


class Dask:
    """See Backend."""

    def runner(self, chosen: Settings) -> TaskRunner[Any]:
        """See Backend."""
        try:
            from prefect_dask import DaskTaskRunner
        except ImportError as error:
            raise _not_installed("dask", error) from error
        named = {"address": chosen.dask_address} if chosen.dask_address else {}
        runner: TaskRunner[Any] = DaskTaskRunner(**chosen.task_runner_options, **named)
        return runner

    def connect(self, runner: TaskRunner[Any]) -> None:
        """See Backend."""
        _ = runner.client  # type: ignore[attr-defined]  # made on first use

    def done(self, handle: Any) -> bool:
        """See Backend."""
        return bool(handle.done())

    def state(self, handle: Any) -> State[Any]:
        """See Backend."""
        state: State[Any] = handle.result(timeout=_PATIENCE_S)
        return state

    def cancel(self, handle: Any) -> None:
        """See Backend."""
        handle.cancel()


class Ray:
    """See Backend."""

    def runner(self, chosen: Settings) -> TaskRunner[Any]:
        """See Backend."""
        try:
            from prefect_ray import RayTaskRunner
        except ImportError as error:
            raise _not_installed("ray", error) from error
        named = {"address": chosen.ray_address} if chosen.ray_address else {}
        runner: TaskRunner[Any] = RayTaskRunner(**chosen.task_runner_options, **named)
        return runner

    def connect(self, runner: TaskRunner[Any]) -> None:
        """Ray was reached when the runner was started."""

    def done(self, handle: Any) -> bool:
        """See Backend."""
        import ray

        return bool(ray.wait([handle], timeout=0)[0])

    def state(self, handle: Any) -> State[Any]:
        """See Backend."""
        import ray

        state: State[Any] = ray.get(handle, timeout=_PATIENCE_S)
        return state

    def cancel(self, handle: Any) -> None:
        """See Backend."""
        import ray

        ray.cancel(handle, force=False)


BACKENDS: dict[str, type[Backend]] = {"dask": Dask, "ray": Ray}


def _not_installed(extra: str, error: ImportError) -> RunFailed:
    return RunFailed(f"HEADRACE_TASK_RUNNER is {extra}, which is not installed ({error}): install headrace[{extra}]")
