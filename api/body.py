"""What no endpoint takes in a JSON body: nesting without end, and values the database cannot keep."""

from __future__ import annotations

import math

from fastapi import Request

from api.errors import ApiError
from ir.problems import Problem


async def check_body(request: Request, *, max_depth: int) -> None:
    """Raises ApiError 400. What is not JSON at all is left to the endpoint's own reader, which knows where it ends."""
    try:
        value = await request.json()  # kept by the request: it is not read twice
    except (ValueError, RecursionError):
        return
    problem = _first_problem(value, max_depth)
    if problem is not None:
        raise ApiError(400, problem.message, details=[problem])


def _first_problem(value: object, max_depth: int) -> Problem | None:
    level = [value]
    for _ in range(max_depth):
        inner: list[object] = []
        for each in level:
            if isinstance(each, str):
                if "\x00" in each or (not each.isascii() and any("\ud800" <= char <= "\udfff" for char in each)):
                    message = "Text with NUL characters or lone surrogates cannot be stored"
                    return Problem("body", "unstorable_text", message)
            elif isinstance(each, dict):
                inner += each.keys()
                inner += each.values()
            elif isinstance(each, list):
                inner += each
            elif isinstance(each, float) and not math.isfinite(each):
                return Problem("body", "unstorable_number", "NaN and Infinity are not JSON")
        if not inner:
            return None
        level = inner
    return Problem("body", "too_deep", f"The body is nested deeper than {max_depth} levels")
