"""Objects that an agent names as people do: by name or id."""

from __future__ import annotations

from typing import Literal

from headrace.deployments.cli.rest import Rest
from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import nearest


def named_id(rest: Rest, kind: Literal["connector", "schema"], name: str) -> str:
    """The id of the connector or schema with that name or id. Raises HeadraceError with the most similar name."""
    found = rest.all(f"/{kind}s")
    for each in found:
        if name in (each["name"], each["id"]):
            return str(each["id"])
    raise HeadraceError(f"There is no {kind} '{name}'.", nearest(name, [str(each["name"]) for each in found]))
