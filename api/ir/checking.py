"""What must be right about an IR before it is stored."""

from __future__ import annotations

from typing import Any

from api.context import RequestContext
from api.errors import ApiError
from flows.check import check_types
from flows.registered import RegisteredTables
from ir import parse_ir


def refuse_invalid(context: RequestContext, document: dict[str, Any]) -> None:
    """Raises ApiError 400 with every problem of the document."""
    parsed = parse_ir(document)
    problems = parsed.problems
    if parsed.ir is not None:
        with context.reading() as catalog:
            problems = check_types(parsed.ir, RegisteredTables(catalog.schemas))
    if problems:
        raise ApiError(400, "The IR is not valid", details=problems)
