"""The query parameter `confirm`, required where a request would lose data."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from headrace.api.errors import invalid

Confirmed = Annotated[bool, Query(alias="confirm", description="true to confirm that data may be lost or duplicated")]


def require_confirmation(confirm: bool, loss: str) -> None:
    """Raises ApiError 400 with the loss, unless it is confirmed."""
    if not confirm:
        raise invalid("confirm", "confirmation_required", loss, "repeat the request with ?confirm=true")
