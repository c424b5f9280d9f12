"""A typed pipeline document, compiled into a Prefect 3 flow, loaded exactly once into PostgreSQL, with a REST API.

The public API: `Pipeline` runs a document in this process, `Client` calls the REST API, `headrace.prefect` runs
pipelines in Prefect flows, `headrace.testing` tests pipelines, `headrace.hooks` has the types for hook functions. The
other packages are folders at the top of the repository and are imported through this package, for example `from
headrace.ir import PipelineIR`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headrace.client import ApiRefused, Client, ErrorTotal, HeadraceError, RowError, RowSource, Run, RunResult
    from headrace.pipeline import Pipeline, PipelineFailed, PipelineInvalid, PipelineResult

_OF_CLIENT = ("ApiRefused", "Client", "ErrorTotal", "HeadraceError", "RowError", "RowSource", "Run", "RunResult")
_HOMES = dict.fromkeys(_OF_CLIENT, "client")
_HOMES |= dict.fromkeys(("Pipeline", "PipelineFailed", "PipelineInvalid", "PipelineResult"), "pipeline")

__all__ = [
    "ApiRefused",
    "Client",
    "ErrorTotal",
    "HeadraceError",
    "Pipeline",
    "PipelineFailed",
    "PipelineInvalid",
    "PipelineResult",
    "RowError",
    "RowSource",
    "Run",
    "RunResult",
]


def __getattr__(name: str) -> Any:
    """Imports public names on first use, because the command line and the worker need none of them."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"headrace.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'headrace' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
