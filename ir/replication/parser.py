"""Parses decoded JSON into a ReplicationIR, or into a list of all problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic import BaseModel, ValidationError

from headrace.ir.base import wire_names
from headrace.ir.document import ErrorHandling, Metadata, Retry
from headrace.ir.parsing.limits import too_large
from headrace.ir.parsing.shape import shape_problems
from headrace.ir.parsing.storable_text import unstorable_texts
from headrace.ir.problems import MAX_PROBLEMS, Problem
from headrace.ir.replication.document import ReplicationIR, Sources
from headrace.ir.replication.settings import Cursor, ExecutionConfig, Override, TableSettings

_MODELS: Mapping[str, type[BaseModel]] = {
    "metadata": Metadata,
    "sources": Sources,
    "defaults": TableSettings,
    "overrides": Override,
    "cursor": Cursor,
    "executionConfig": ExecutionConfig,
    "errorHandling": ErrorHandling,
    "retry": Retry,
}
"""By the last name of an object's path."""

_SOURCE_OWN = ("table", "query", "cursor", "key")
"""Source settings that the replication itself sets."""


@dataclass(frozen=True, slots=True)
class ReplicationParsed:
    """The result of parsing: `document` and no problems, or problems and no document."""

    document: ReplicationIR | None
    problems: list[Problem]


def parse_replication(document: object) -> ReplicationParsed:
    """Parses decoded JSON. Never raises: all faults are in `problems`, each with path, code, message and hint."""
    if (beyond := too_large(document)) is not None:
        return ReplicationParsed(None, [beyond])
    if texts := list(islice(unstorable_texts(document), MAX_PROBLEMS)):
        return ReplicationParsed(None, texts)
    meant = list(islice(_meant(document), MAX_PROBLEMS))
    try:
        parsed = ReplicationIR.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        shape = islice(shape_problems(document, error.errors(include_url=False), _fields_of), MAX_PROBLEMS)
        return ReplicationParsed(None, [*shape, *meant][:MAX_PROBLEMS])
    return ReplicationParsed(None if meant else parsed, meant)


def _meant(document: object) -> Iterator[Problem]:
    """Problems that involve several fields."""
    if not isinstance(document, Mapping):
        return
    sources = document.get("sources")
    if isinstance(sources, Mapping):
        for side in ("include", "exclude"):
            yield from _twice(sources.get(side), f"sources.{side}")
        included, excluded = (_texts(sources.get(side)) for side in ("include", "exclude"))
        for pattern in included:
            if pattern in excluded:
                yield Problem(
                    "sources.exclude",
                    "excludes_all",
                    f"'{pattern}' is included and excluded, so it adds nothing",
                    "remove it from one of the two",
                )
    named = {"defaults": document.get("defaults")}
    overrides = document.get("overrides")
    if isinstance(overrides, list | tuple):
        named |= {f"overrides[{index}]": each for index, each in enumerate(overrides)}
    for path, settings in named.items():
        if isinstance(settings, Mapping):
            yield from _settings_problems(path, settings)


def _settings_problems(path: str, settings: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _twice(settings.get("key"), f"{path}.key")
    if path != "defaults" and len(settings) == ("tables" in settings):
        yield Problem(path, "overrides_nothing", "The override changes nothing", "name what is to be different")
    config = settings.get("config")
    for name in _SOURCE_OWN:
        if isinstance(config, Mapping) and name in config:
            where = f"{path}.{name}" if name in ("cursor", "key") else "sources.include"
            yield Problem(
                f"{path}.config.{name}", "not_here", f"'{name}' of a source is given by the replication", f"use {where}"
            )


def _twice(patterns: object, path: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, each in enumerate(patterns if isinstance(patterns, list | tuple) else ()):
        if isinstance(each, str) and each in seen:
            yield Problem(f"{path}[{index}]", "duplicate", f"'{each}' is there twice", "remove one")
        elif isinstance(each, str):
            seen.add(each)


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list | tuple) else (value,)
    return [each for each in listed if isinstance(each, str)]


def _fields_of(parent: object, owner: object, path: str) -> Sequence[str]:
    del owner
    if not isinstance(parent, Mapping):
        return []
    if "." not in path:
        return wire_names(ReplicationIR)
    name = path.split(".")[-2].partition("[")[0]
    model = _MODELS.get(name)
    return wire_names(model) if model is not None else []
