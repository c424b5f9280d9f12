"""A pipeline as Prefect knows it: flow and deployment names, parameters, schedule, and a fingerprint of all that."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from headrace.flows.catchup import CATCHUP_TAG
from headrace.ir.schedules.cron import for_prefect
from headrace.ir.schedules.fire_times import with_dtstart
from headrace.ir.schedules.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

ENTRYPOINT = "headrace.flows.run.run_pipeline"
REPLICATION_ENTRYPOINT = "headrace.flows.replication.run.run_replication"

# Pipelines and tenants may have any name. Characters that Prefect refuses in a name are replaced by look-alikes, line
# ends (accepted by earlier releases) by blanks.
_REFUSED, _LOOK_ALIKE_CHARACTERS = "/%&<>", "\uff0f\uff05\uff06\uff1c\uff1e"
_CONTROL = {*range(32), *range(127, 160), 0x2028, 0x2029}
_LOOK_ALIKES = str.maketrans(_REFUSED, _LOOK_ALIKE_CHARACTERS) | dict.fromkeys(_CONTROL, " ")
_AMBIGUOUS = re.compile(
    rf"[{_LOOK_ALIKE_CHARACTERS}{''.join(map(chr, sorted(_CONTROL)))}]|\(pipe_[^()]*\)$|^replication: "
)

QUEUE_OF_TENANT = "tenant:"
QUEUE_OF_REPLICATIONS = "replications:"
_REPLICATION = "repl_"
"""Begins the ids of replications."""

PARAMETER_SCHEMA: dict[str, Any] = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "pipeline_id": {"title": "pipeline_id", "type": "string", "position": 0},
        "tenant_id": {"title": "tenant_id", "type": "string", "position": 1},
        "ir_version": {"title": "ir_version", "type": "integer", "position": 2},
        "retry_of": {"title": "retry_of", "type": "string", "position": 3},
        "parameters": {
            "title": "parameters",
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "boolean"]},
            "position": 4,
        },
    },
    "required": ["pipeline_id", "tenant_id"],
}
"""The parameters of `flows.run.run_pipeline`, as JSON Schema: the API process does not import the flow.

Accepts the same values as the schema that Prefect would generate, at half the size: Prefect reads it twice for each
deployment that is created and each run that is requested. Prefect allows null for parameters that are not required.
"""


REPLICATION_PARAMETER_SCHEMA: dict[str, Any] = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "replication_id": {"title": "replication_id", "type": "string", "position": 0},
        "tenant_id": {"title": "tenant_id", "type": "string", "position": 1},
        "retry_of": {"title": "retry_of", "type": "string", "position": 2},
    },
    "required": ["replication_id", "tenant_id"],
}
"""The parameters of `flows.replication.run.run_replication`, in the same way."""


def is_replication(object_id: str) -> bool:
    """Whether the id is that of a replication; otherwise it is that of a pipeline."""
    return object_id.startswith(_REPLICATION)


def owner_tag(object_id: str) -> str:
    """The tag in Prefect of what belongs to a pipeline or a replication."""
    return f"{'replication' if is_replication(object_id) else 'pipeline'}:{object_id}"


def owner_from_tags(tags: Iterable[str]) -> str | None:
    """The id of the pipeline or replication named by the tags; None without one."""
    named = (tag.partition(":") for tag in tags)
    return next((rest for kind, _, rest in named if kind in ("pipeline", "replication") and rest), None)


def cron_text(expression: str, day_or: bool, zone: str) -> str:
    """One of Prefect's cron schedules in the form of `RegisteredPipeline.firing`."""
    return f"cron {expression} {zone}" + ("" if day_or else " on days of both kinds")


def catchup_tags(tags: Iterable[str]) -> str:
    """The part of `RegisteredPipeline.standing` that comes from tags, which a user may have changed in Prefect."""
    return "".join(f" {tag}" for tag in sorted(tags) if tag.startswith(CATCHUP_TAG))


@dataclass(frozen=True, slots=True)
class RegisteredPipeline:
    """What Prefect needs to know of a pipeline, or of a replication (by its id). `active` false pauses its schedule;
    runs can still be started by hand.

    `scheduled_since` (aware) is when the schedule was set: the start of an rrule that has none. None means now.
    """

    id: str
    name: str
    tenant_id: str
    schedule: Schedule | None = None
    ir_version: int | None = None
    parallelism: int | None = None
    active: bool = True
    scheduled_since: datetime | None = None
    run_parameters: tuple[Mapping[str, Any], ...] = ()
    """The run parameters of the live version, each with `name`, and `description` and `default` where it has them."""

    @property
    def flow_name(self) -> str:
        """The name shown in Prefect's UI: the tenant, then the pipeline's name."""
        return f"{self.tenant_id}: {self._distinct_name}".translate(_LOOK_ALIKES)

    @property
    def deployment_name(self) -> str:
        return self._distinct_name.translate(_LOOK_ALIKES)

    @property
    def _distinct_name(self) -> str:
        """The name; with the id added where it contains a look-alike character or ends like a name with an id. Two
        pipelines with the same name in Prefect would share one deployment."""
        if is_replication(self.id):
            plain = f"{self.name} ({self.id})" if _AMBIGUOUS.search(self.name) else self.name
            return f"replication: {plain}"
        return f"{self.name} ({self.id})" if _AMBIGUOUS.search(self.name) else self.name

    @property
    def entrypoint(self) -> str:
        """The module path of the flow."""
        return REPLICATION_ENTRYPOINT if is_replication(self.id) else ENTRYPOINT

    @property
    def work_queue(self) -> str:
        """The work queue of its runs: one per tenant, so that the tenant's running runs can be limited. Runs of
        replications wait for such runs, so they are in one without a limit."""
        return f"{QUEUE_OF_REPLICATIONS}{self.tenant_id}" if is_replication(self.id) else queue_of(self.tenant_id)

    @property
    def tags(self) -> list[str]:
        tags = ["headrace", f"tenant:{self.tenant_id}", owner_tag(self.id)]
        return tags if self.schedule is None else [*tags, f"{CATCHUP_TAG}{self.schedule.catchup}"]

    @property
    def parameters(self) -> dict[str, str]:
        """The defaults, used by runs that a schedule or Prefect's UI starts; they use the live IR version."""
        kind = "replication_id" if is_replication(self.id) else "pipeline_id"
        return {kind: self.id, "tenant_id": self.tenant_id}

    @property
    def parameter_schema(self) -> dict[str, Any]:
        """The schema that Prefect checks parameters against: only this pipeline and tenant are allowed."""
        flows = REPLICATION_PARAMETER_SCHEMA if is_replication(self.id) else PARAMETER_SCHEMA
        own = {name: flows["properties"][name] | {"enum": [value]} for name, value in self.parameters.items()}
        if self.run_parameters:
            own["parameters"] = flows["properties"]["parameters"] | {
                "properties": {each["name"]: _form_field(each) for each in self.run_parameters}
            }
        return flows | {"properties": flows["properties"] | own}

    @property
    def description(self) -> str:
        if is_replication(self.id):
            return f"Headrace replication `{self.id}` of tenant `{self.tenant_id}`. Version {self.ir_version}."
        lines = [f"Headrace pipeline `{self.id}` of tenant `{self.tenant_id}`."]
        if self.ir_version is not None:
            lines.append(f"IR version {self.ir_version}.")
        if self.parallelism is not None:
            lines.append(f"Up to {self.parallelism} partitions at a time.")
        return " ".join(lines)

    def fingerprint(self) -> str:
        """16 hex digits over the content of a deployment; an equal value means there is nothing to send."""
        document = {
            "entrypoint": self.entrypoint,
            "flow": self.flow_name,
            "parameters": self.parameters,
            "schema": self.parameter_schema,
            "description": self.description,
            "schedule": None if self.schedule is None else self.schedule.model_dump(mode="json"),
            "active": self.active,
            "since": None if self.scheduled_since is None else self.scheduled_since.astimezone(UTC).isoformat(),
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def firing(self) -> str:
        """The schedule as a text that can also be derived from a deployment, where a user may have changed it."""
        match self.schedule:
            case None:
                return "never"
            case CronSchedule():
                zone = self.schedule.timezone
                all_of_it = [cron_text(*each, zone) for each in for_prefect(self.schedule.expression)]
            case IntervalSchedule():
                all_of_it = [f"interval {self.schedule.minutes * 60}"]
            case RRuleSchedule():
                since = self.scheduled_since or datetime.now(UTC)
                all_of_it = [f"rrule {with_dtstart(self.schedule, since)} {self.schedule.timezone}"]
        return ", ".join(sorted(each if self.active else f"paused {each}" for each in all_of_it))

    @property
    def standing(self) -> str:
        """The state a deployment should have: it is up to date when the same text is derived from it."""
        return f"{self.fingerprint()} {self.firing} in {self.work_queue}{catchup_tags(self.tags)}"

    @property
    def version(self) -> str:
        """The deployment's version: the IR version for people, and the fingerprint, which is stored nowhere else."""
        return f"v{self.ir_version or 0}+{self.fingerprint()}"


def queue_of(tenant_id: str) -> str:
    """The name of a tenant's work queue."""
    return f"{QUEUE_OF_TENANT}{tenant_id}"


def _form_field(parameter: Mapping[str, Any]) -> dict[str, Any]:
    """The field of a run parameter in Prefect's form. Its default is only described: Prefect would put it into each
    scheduled run, which would keep it when the document has another."""
    description = parameter.get("description") or ""
    if (default := parameter.get("default")) is not None:
        description = f"{description.rstrip('.')}. Default: {default}".removeprefix(". ")
    return {
        "title": parameter["name"],
        "anyOf": [{"type": each} for each in ("string", "number", "boolean")],  # the form shows the first
        "description": description,
    }
