"""Which runs a worker executes: those of Headrace's flow, without any additions. All others are refused.

Whoever can write to Prefect's API can create a deployment on any pool, and its pull steps, entrypoint, storage or
environment are code that a worker would execute with its own credentials. A worker of type `headrace` only imports its
own flow by name, in its own environment, and ignores templates and storage. A run that asks for more is refused with a
reason, not executed without its settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, WorkPool
    from prefect.client.schemas.responses import DeploymentResponse

Flows = Mapping[str, Mapping[str, Any]]
"""The allowed entrypoints (module paths), each with the JSON Schema of its parameters."""

_HARMLESS = frozenset({"name", "labels"})
"""Job variables that only name infrastructure, of which there is none."""
_FORBIDDEN_VARIABLES = ("command", "env")


def refusal_reason(
    flow_run: FlowRun, deployment: DeploymentResponse | None, work_pool: WorkPool, flows: Flows
) -> str | None:
    """Why the run is refused, in a sentence without values of the run; None when it is allowed."""
    if deployment is None:
        return "it has no deployment, and only pipelines' deployments are run here"
    schema = flows.get(deployment.entrypoint or "")
    if schema is None:
        return f"its deployment's entrypoint is not {' or '.join(flows)}"
    if deployment.pull_steps:
        return "its deployment has pull steps"
    if deployment.storage_document_id is not None or deployment.path not in (None, "", "."):
        return "its deployment takes code from a storage or path of its own"
    if deployment.infrastructure_document_id is not None or flow_run.infrastructure_document_id is not None:
        return "it brings infrastructure of its own"
    for whose, variables in (("its deployment", deployment.job_variables), ("the run", flow_run.job_variables)):
        # A dotted name such as `env.PATH` sets the variable before the first dot.
        asked = {name.partition(".")[0] for name, value in (variables or {}).items() if value not in (None, {}, "")}
        if asked := asked - _HARMLESS:
            return f"{whose} sets job variables ({', '.join(sorted(asked))}); set the worker's environment instead"
    return _pool_refusal(work_pool) or _parameter_refusal(flow_run.parameters, schema)


def _pool_refusal(work_pool: WorkPool) -> str | None:
    """Why the pool's template is refused; one that only refers to variables without defaults is allowed."""
    template = work_pool.base_job_template or {}
    variables = (template.get("variables") or {}).get("properties") or {}
    for name in _FORBIDDEN_VARIABLES:
        default = (variables.get(name) or {}).get("default")
        wanted = (template.get("job_configuration") or {}).get(name)
        if default or wanted not in (None, "", {}, "{{ " + name + " }}"):
            return f"its work pool sets '{name}'; set the worker's environment instead"
    return None


def _parameter_refusal(parameters: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    from jsonschema import Draft202012Validator

    given = {name: value for name, value in parameters.items() if value is not None or name in schema["required"]}
    strict = {**schema, "additionalProperties": False}
    wrong = next(Draft202012Validator(strict).iter_errors(given), None)
    if wrong is None:
        return None
    where = ".".join(map(str, wrong.absolute_path)) or "as a whole"
    return f"its parameters are not those of the flow ({where}: '{wrong.validator}' does not hold)"
