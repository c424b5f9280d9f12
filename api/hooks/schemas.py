"""The response to a delivery."""

from __future__ import annotations

from headrace.api.wire import ResponseModel


class HookReceipt(ResponseModel):
    """The record that a delivery became."""

    id: str
    """Names the record: that of the first request with the same idempotency key."""
    repeated: bool
    """Whether a request with this key came before, so that nothing was stored."""
