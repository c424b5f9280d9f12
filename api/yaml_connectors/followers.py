"""The connectors and pipelines that follow the live version of a connector document, and what another version would
break."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace.api.errors import ApiError
from headrace.api.ir.yaml_sources import endpoint_problem
from headrace.catalog.models import Connector
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.yaml_connectors import ReadingNode
from headrace.connectors.http.definition.used import use_problems
from headrace.ir.problems import MAX_PROBLEMS, Problem
from headrace.ir.yaml_connectors import is_document, reference_in, reference_of


@dataclass(frozen=True, slots=True)
class Followers:
    """What follows the live version of a document."""

    connectors: list[Connector]
    nodes: list[ReadingNode]


def followers(catalog: TenantCatalog, name: str) -> Followers:
    """Connectors that name the document without a version, and sources of live IRs that read with its live version."""
    using = catalog.yaml_connectors.connectors(name)
    following = [each for each in using if _version_in(each.config) is None]
    names = {text for each in following for text in (each.id, each.name)}

    def follows(each: ReadingNode) -> bool:
        connector = str(each.node.get("connector"))
        if is_document(connector):
            read = reference_of(connector)
            if read is None or read.version is not None:
                return False
        return str(each.node.get("connection") or each.pipeline_connector) in names

    return Followers(following, [each for each in catalog.yaml_connectors.reading(name, following) if follows(each)])


def refuse_breaking(following: Followers, document: Mapping[str, Any]) -> None:
    """Raises ApiError 400 if connectors no longer fit the document, or sources name endpoints that it does not have."""
    problems = list(_problems(following, document))[:MAX_PROBLEMS]
    if problems:
        message = "The version would break what follows the live one: save it with publish=false, or confirm=true"
        raise ApiError(400, message, details=problems)


def _problems(following: Followers, document: Mapping[str, Any]) -> Iterator[Problem]:
    for each in following.connectors:
        for found in use_problems(each.config, document):
            yield replace(
                found,
                path="confirm",
                code="confirmation_required",
                message=f"The connector '{each.name}' would not fit: {found.path}: {found.message}",
            )
    for read in following.nodes:
        config = read.node.get("config")
        missing = endpoint_problem(config if isinstance(config, dict) else {}, document)
        if missing is not None:
            message = f"The source '{read.node.get('id')}' of the pipeline '{read.pipeline}' would fail: {missing[0]}"
            yield Problem("confirm", "confirmation_required", message, missing[1])


def _version_in(config: Mapping[str, Any]) -> int | None:
    named = reference_in(config)
    return None if named is None else named.version
