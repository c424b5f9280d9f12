"""Checks of a JSON body before an endpoint reads it: depth, number of values, duplicate keys, storable text."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import replace

from fastapi import Request

from headrace.api.errors import ApiError
from headrace.ir.parsing.storable_text import is_storable, unstorable_texts
from headrace.ir.problems import Problem

MAX_VALUES = 200_000
"""Members of objects and elements of lists in one body: twice as many as an IR document may have. Parsing and checking
a million blocks the event loop for a second."""
MAX_FIELDS = 100
"""Members of the outermost object, whose names are all known."""
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
"""A JSON string. An unterminated one matches to the end of the body, so that matching takes linear time."""


async def check_body(request: Request, *, max_depth: int, texts: bool = True) -> None:
    """Raises ApiError 400 for a body that no endpoint accepts. Malformed JSON is left to FastAPI, which reports its
    position. With `texts` false, unstorable text is left to the endpoint, which reports it and stores nothing."""
    if _has_too_many(await request.body()):
        raise _bad_request(_TOO_MANY)
    try:
        value = await request.json()  # cached by the request
    except (ValueError, RecursionError):
        return
    problem = _first_problem(value, max_depth, texts=texts) or _duplicate_key(await request.body())
    if problem is not None:
        raise _bad_request(problem)


_TOO_MANY = Problem("body", "too_many_values", f"A body has at most {MAX_VALUES:,} values")


def _bad_request(problem: Problem) -> ApiError:
    return ApiError(400, problem.message, details=[problem])


def _has_too_many(body: bytes) -> bool:
    """Whether the body has too many values, estimated before parsing: all but the first value of a list or an object
    follow a comma."""
    return body.count(b",") > MAX_VALUES and _TEXT.sub(b"", body).count(b",") > MAX_VALUES


def _duplicate_key(body: bytes) -> Problem | None:
    """A duplicate key, if any: parsers differ in which value they use, so what was checked need not be what is used."""
    twice: list[str] = []

    def once(pairs: list[tuple[str, object]]) -> None:
        if not twice and len(counted := Counter(name for name, _ in pairs)) < len(pairs):
            twice.extend(name for name, _ in counted.most_common(1))

    json.loads(body, object_pairs_hook=once)
    if not twice:
        return None
    return Problem("body", "duplicate_key", f"'{twice[0][:100]}' is given twice in one object", "leave one of them out")


def _first_problem(value: object, max_depth: int, *, texts: bool) -> Problem | None:
    if isinstance(value, dict) and len(value) > MAX_FIELDS:
        return Problem("body", "too_many_fields", f"A body has at most {MAX_FIELDS} fields")
    level, count = [value], 0
    for _ in range(max_depth):
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict | list):
                count += len(each)
                if count > MAX_VALUES:
                    return _TOO_MANY
            if isinstance(each, str):
                if texts and not is_storable(each):
                    found = next(unstorable_texts(value))
                    return found if found.path else replace(found, path="body")
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
