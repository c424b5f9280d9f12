"""A pipeline as Prefect sees it: its own flow and deployment, parameters that are ids, a fingerprint of all that."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ir.fires import anchored
from ir.schedule import CronSchedule, IntervalSchedule, RRuleSchedule, Schedule

ENTRYPOINT = "flows.run.run_pipeline"

# A pipeline or tenant may be called anything; these are what Prefect refuses in a name, as their look-alikes.
_REFUSED, _ALIKE = "/%&<>", "\uff0f\uff05\uff06\uff1c\uff1e"
_LOOK_ALIKES = str.maketrans(_REFUSED, _ALIKE)
_TOLD_APART = re.compile(rf"[{_ALIKE}]|\(pipe_[^()]*\)$")

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
"""The parameters of `flows.run.run_pipeline`: the facade never imports the flow itself.

It takes and refuses what Prefect's own description would, in half the words: Prefect looks through each of them, twice,
whenever a deployment is made or a run asked for. Prefect lets what is not required be null.
"""


@dataclass(frozen=True, slots=True)
class RegisteredPipeline:
    """What of a pipeline Prefect has to know. `active` false pauses its schedule; runs can still be started by hand.

    `scheduled_since` (aware) is when the schedule was set, where an rrule without a start begins; None means now.
    """

    id: str
    name: str
    tenant_id: str
    schedule: Schedule | None = None
    ir_version: int | None = None
    parallelism: int | None = None
    active: bool = True
    scheduled_since: datetime | None = None

    @property
    def flow_name(self) -> str:
        """The title in Prefect's UI: the tenant, then the pipeline's name."""
        return f"{self.tenant_id}: {self._distinct_name}".translate(_LOOK_ALIKES)

    @property
    def deployment_name(self) -> str:
        return self._distinct_name.translate(_LOOK_ALIKES)

    @property
    def _distinct_name(self) -> str:
        """The name, with the id where it could be mistaken for another one's: where it holds a look-alike itself, or
        ends as if it had been told apart already. Two pipelines of one title would share one deployment."""
        return f"{self.name} ({self.id})" if _TOLD_APART.search(self.name) else self.name

    @property
    def tags(self) -> list[str]:
        return ["headrace", f"tenant:{self.tenant_id}", f"pipeline:{self.id}"]

    @property
    def parameters(self) -> dict[str, str]:
        """Defaults, so that a run started in Prefect's UI or by a schedule needs none; it takes the live IR version."""
        return {"pipeline_id": self.id, "tenant_id": self.tenant_id}

    @property
    def parameter_schema(self) -> dict[str, Any]:
        """What Prefect checks parameters against: its own pipeline and tenant only, no other's."""
        own = {
            name: PARAMETER_SCHEMA["properties"][name] | {"enum": [value]} for name, value in self.parameters.items()
        }
        return PARAMETER_SCHEMA | {"properties": PARAMETER_SCHEMA["properties"] | own}

    @property
    def description(self) -> str:
        lines = [f"Headrace pipeline `{self.id}` of tenant `{self.tenant_id}`."]
        if self.ir_version is not None:
            lines.append(f"IR version {self.ir_version}.")
        if self.parallelism is not None:
            lines.append(f"Up to {self.parallelism} partitions at a time.")
        return " ".join(lines)

    def fingerprint(self) -> str:
        """16 hex digits over everything a deployment is made of; equal means there is nothing to send."""
        document = {
            "entrypoint": ENTRYPOINT,
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
        """When it fires, in a form that can be read off a deployment too: somebody may have changed it there."""
        match self.schedule:
            case None:
                return "never"
            case CronSchedule():
                when = f"cron {self.schedule.expression} {self.schedule.timezone}"
            case IntervalSchedule():
                when = f"interval {self.schedule.minutes * 60}"
            case RRuleSchedule():
                since = self.scheduled_since or datetime.now(UTC)
                when = f"rrule {anchored(self.schedule, since)} {self.schedule.timezone}"
        return when if self.active else f"paused {when}"

    @property
    def standing(self) -> str:
        """What tells a deployment that is as it should be from one that is not."""
        return f"{self.fingerprint()} {self.firing}"

    @property
    def version(self) -> str:
        """The deployment's version: for a person the IR version, and the fingerprint, so nobody else need keep it."""
        return f"v{self.ir_version or 0}+{self.fingerprint()}"
