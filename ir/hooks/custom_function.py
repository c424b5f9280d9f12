"""`custom_function`: what the operator installed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from ir.hooks.base import HookBase


class CustomFunctionHook(HookBase):
    """Calls the function that a package registered as `name` in the entry-point group `headrace.hooks`."""

    type: Literal["custom_function"]
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]
    """The name it was registered by."""
