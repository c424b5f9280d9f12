"""Errors of `Pipeline`, and the context manager that turns errors of the engine into them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import Problem

if TYPE_CHECKING:
    from headrace._pipeline.results import PipelineResult
    from headrace.flows.runtime.job import Job

_SHOWN = 20


class PipelineInvalid(HeadraceError):
    """The document cannot be run, or not in this process. `problems` lists every reason."""

    __module__ = "headrace.pipeline"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [f"  {sentence(each)}" for each in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            lines.append(f"  and {len(self.problems) - _SHOWN} more")
        super().__init__("\n".join(["The pipeline cannot be run as it is.", *lines]))


class PipelineFailed(HeadraceError):
    """The run failed. `result` has its row counts and errors; another `run` continues after the rows it committed."""

    __module__ = "headrace.pipeline"

    def __init__(self, result: PipelineResult) -> None:
        self.result = result
        super().__init__(f"The run {result.id} failed: {result.failure_reason}")


class explained:
    """Converts errors of the engine to PipelineInvalid or HeadraceError, with credentials removed from their texts."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        import psycopg

        from headrace.connectors.errors import SourceError, TargetError
        from headrace.connectors.postgresql.error_messages import error_message
        from headrace.flows.runtime.errors import PlanFailed, RunFailed

        if isinstance(error, PlanFailed):
            raise PipelineInvalid(error.problems) from None
        if isinstance(error, SourceError | TargetError):
            message = self._job.without_secrets(error.message)
            raise PipelineInvalid([Problem("nodes", error.code, message, error.hint)]) from None
        if isinstance(error, RunFailed):
            raise PipelineInvalid([Problem("", "not_run", self._job.without_secrets(str(error)))]) from None
        if isinstance(error, psycopg.Error):
            raise HeadraceError(
                self._job.without_secrets(f"The database cannot be used: {error_message(error)}")
            ) from None


def sentence(problem: Problem) -> str:
    where = f"{problem.path}: " if problem.path else ""
    return f"{where}{problem.message}" + (f" ({problem.hint})" if problem.hint else "")
