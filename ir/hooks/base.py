"""What every hook has."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ir.base import Doc

Seconds = Annotated[int, Field(ge=1, le=3600)]


class HookBase(Doc):
    """Something to be done around a load. `timeoutSeconds` bounds it; a hook that takes longer has failed."""

    timeout_seconds: Seconds = 300
    """How long it may take."""
