"""`/ir/schema`: the JSON Schemas by which editors validate documents.

They contain no tenant's data and an editor that follows `$schema` has no key, so they are public and not part of the
OpenAPI document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from headrace.connectors.http.definition.model import json_schema
from headrace.deployments.cli.documents.json_schema import files_schema
from headrace.flows.validation.document_schema import published_schema
from headrace.ir.replication.json_schema import replication_schema

MEDIA_TYPE = "application/schema+json"

_CACHED = "public, max-age=3600"

IfNoneMatch = Annotated[str | None, Header()]

router = APIRouter(include_in_schema=False)


@router.get("/ir/schema")
def get_ir_schema(if_none_match: IfNoneMatch = None) -> Response:
    """The JSON Schema (2020-12) of a pipeline's IR."""
    return _answer(published_schema, if_none_match)


@router.get("/ir/schema/files")
def get_files_schema(if_none_match: IfNoneMatch = None) -> Response:
    """The JSON Schema (2020-12) of the files that `headrace apply` reads."""
    return _answer(files_schema, if_none_match)


@router.get("/ir/schema/replication")
def get_replication_schema(if_none_match: IfNoneMatch = None) -> Response:
    """The JSON Schema (2020-12) of a replication."""
    return _answer(replication_schema, if_none_match)


@router.get("/ir/schema/connector")
def get_connector_schema(if_none_match: IfNoneMatch = None) -> Response:
    """The JSON Schema (2020-12) of a connector's document."""
    return _answer(json_schema, if_none_match)


def _answer(schema: Callable[[], dict[str, Any]], known: str | None) -> Response:
    content, tag = _published(schema)
    headers = {"ETag": tag, "Cache-Control": _CACHED}
    named = [each.strip().removeprefix("W/") for each in (known or "").split(",")]
    if tag in named or "*" in named:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=MEDIA_TYPE, headers=headers)


@cache
def _published(schema: Callable[[], dict[str, Any]]) -> tuple[bytes, str]:
    content = json.dumps(schema(), ensure_ascii=False, separators=(",", ":")).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
