"""The resources that Headrace's events are about, by Prefect's conventions: a dotted id, a name, a role."""

from __future__ import annotations


def resource_of(pipeline_id: str, pipeline_name: str) -> dict[str, str]:
    """The pipeline an event is about: what a trigger's `match` names."""
    return {"prefect.resource.id": f"headrace.pipeline.{pipeline_id}", "prefect.resource.name": pipeline_name}


def related_of(
    tenant_id: str, *, flow_run_id: str, flow_run_name: str = "", deployment_id: str | None = None
) -> list[dict[str, str]]:
    """What else it concerns, for `match_related`: tenant, flow run, deployment."""
    related = [
        {"prefect.resource.id": f"headrace.tenant.{tenant_id}", "prefect.resource.role": "tenant"},
        {
            "prefect.resource.id": f"prefect.flow-run.{flow_run_id}",
            "prefect.resource.role": "flow-run",
            "prefect.resource.name": flow_run_name,
        },
    ]
    if deployment_id is not None:
        related.append(
            {"prefect.resource.id": f"prefect.deployment.{deployment_id}", "prefect.resource.role": "deployment"}
        )
    return related
