"""What must be right about an IR before it is stored."""

from __future__ import annotations

from typing import Any

from api.errors import ApiError
from flows.check import check_types
from ir import parse_ir


def refuse_invalid(document: dict[str, Any]) -> None:
    """Raises ApiError 400 with every problem of the document."""
    parsed = parse_ir(document)
    problems = parsed.problems if parsed.ir is None else check_types(parsed.ir)
    if problems:
        raise ApiError(400, "The IR is not valid", details=problems)
