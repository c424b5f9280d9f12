"""Every kind of hook: one module each, one line in the union.

How a hook is run stands in `flows.runtime.hooks`, in a module of the same name.
"""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from ir.base import Shorthand, one_of_them
from ir.hooks.custom_function import CustomFunctionHook
from ir.hooks.refresh import RefreshHook
from ir.hooks.sql import SqlHook
from ir.hooks.webhook import WebhookHook

AnyHook = SqlHook | RefreshHook | WebhookHook | CustomFunctionHook
Hook = Annotated[AnyHook, Field(discriminator="type")]

HOOKS: dict[str, type[AnyHook]] = {
    get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(AnyHook)
}
"""Hook models by type."""


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Hooks = Annotated[tuple[Hook, ...], Field(max_length=20), BeforeValidator(_several), Shorthand(one_of_them)]
"""One hook or a list of them, run in order."""

__all__ = ["HOOKS", "AnyHook", "CustomFunctionHook", "Hook", "Hooks", "RefreshHook", "SqlHook", "WebhookHook"]
