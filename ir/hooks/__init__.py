"""The kinds of hooks, as a union of their models.

`flows.runtime.hooks` runs them.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from headrace.ir.base import Shorthand, item_schema
from headrace.ir.hooks.kinds import CustomFunctionHook, RefreshHook, SqlHook, WebhookHook

AnyHook = SqlHook | RefreshHook | WebhookHook | CustomFunctionHook
Hook = Annotated[AnyHook, Field(discriminator="type")]

HOOKS: dict[str, type[AnyHook]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(AnyHook)
}
"""Hook models by type."""


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Hooks = Annotated[tuple[Hook, ...], Field(max_length=20), BeforeValidator(_several), Shorthand(item_schema)]
"""One hook or a list of them, run in order."""

__all__ = ["HOOKS", "AnyHook", "CustomFunctionHook", "Hook", "Hooks", "RefreshHook", "SqlHook", "WebhookHook"]
