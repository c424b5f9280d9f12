"""The response to a delivery."""

from __future__ import annotations

from headrace.api.wire import ResponseModel


class HookReceipt(ResponseModel):
    """`id` names the record. `repeated`: a request with its key came before, whose record it is, and nothing was
    stored."""

    id: str
    repeated: bool
