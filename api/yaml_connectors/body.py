"""The body of a connector document, as JSON or as YAML, and the places of its problems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.context import services_of
from headrace.api.errors import ApiError, invalid
from headrace.api.requests.body import check_body
from headrace.connectors.http.definition.build import document_problems
from headrace.connectors.http.definition.places import line_of, pointer_of
from headrace.deployments.cli.documents.yaml_format import read_yaml
from headrace.deployments.cli.documents.yaml_limits import ParseFault
from headrace.ir.parsing.storable_text import unstorable_texts
from headrace.ir.problems import MAX_PROBLEMS, Problem

MAX_BYTES = 1_000_000
"""The most bytes of a document."""
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
_JSON = ("application/json",)


@dataclass(frozen=True, slots=True)
class GivenDocument:
    """A document as it came. `lines` are those of its values, of YAML only."""

    document: dict[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    def refuse_invalid(self) -> None:
        """Raises ApiError 400 with every problem of the document, each with a JSON Pointer as its path, and for YAML
        with its line."""
        found = document_problems(self.document)
        if found:
            raise refused([self.placed(each) for each in found])

    def placed(self, problem: Problem) -> Problem:
        """The problem with its place."""
        path = pointer_of(problem.path, self.document)
        if not self.lines:
            return replace(problem, path=path)
        line = line_of(problem.path, self.document, self.lines)
        return replace(problem, path=path, message=f"line {line}: {problem.message}")


def refused(problems: Sequence[Problem]) -> ApiError:
    """The response for a document with problems."""
    return ApiError(400, "The connector document is not valid", details=problems)


async def read_document(request: Request) -> GivenDocument:
    """Reads the body. Raises ApiError: 400 for what is no document, 413, 415."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (*_YAML, *_JSON):
        raise ApiError(415, "The body must be JSON or YAML (Content-Type: application/json or application/yaml)")
    body = await request.body()
    if len(body) > MAX_BYTES:
        raise ApiError(413, f"A connector document has at most {MAX_BYTES:,} bytes")
    if kind in _YAML:
        return await run_in_threadpool(_yaml, body)
    await check_body(request, max_depth=services_of(request).settings.max_body_depth)
    try:
        found = json.loads(body)
    except json.JSONDecodeError as error:
        raise invalid("body", "malformed_json", f"The body is not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):
        raise invalid("body", "malformed_json", "The body is not JSON") from None
    return document_in(found)


def _yaml(body: bytes) -> GivenDocument:
    try:
        text = body.decode("utf-8-sig")
        found = list(read_yaml(text))
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise invalid("body", "malformed_yaml", f"line {line}: The body is not UTF-8", "save it as UTF-8") from None
    except ParseFault as fault:
        message = f"line {fault.line or 1}: {fault.message}"
        raise invalid("body", "malformed_yaml", message, fault.hint) from None
    if len(found) != 1:
        raise invalid("body", "not_one_document", f"The body has {len(found)} documents", "a connector is one object")
    return document_in(*found[0])


def document_in(found: object, lines: Mapping[str, int] = MappingProxyType({})) -> GivenDocument:
    """A parsed body. Raises ApiError 400 for what is no object, 413."""
    if not isinstance(found, dict):
        raise invalid("body", "not_an_object", "A connector document is an object", "it begins with kind: connector")
    given = GivenDocument({name: value for name, value in found.items() if name != "$schema"}, lines)
    texts = [each for each, _ in zip(unstorable_texts(found, "connector"), range(MAX_PROBLEMS), strict=False)]
    if texts:
        raise refused(texts)
    if len(json.dumps(given.document)) > MAX_BYTES:  # aliases of YAML are written out
        raise ApiError(413, f"A connector document has at most {MAX_BYTES:,} characters, with its aliases written out")
    return given
