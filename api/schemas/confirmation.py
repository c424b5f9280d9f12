"""`?confirm=true`: what would lose something is done only when the request says so."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.errors import invalid

Confirmed = Annotated[bool, Query(alias="confirm", description="true, where something would be lost")]


def require_confirmation(confirm: bool, loss: str) -> None:
    """Raises the 400 of a loss that is not confirmed."""
    if not confirm:
        raise invalid("confirm", "confirmation_required", loss, "repeat the request with ?confirm=true")
