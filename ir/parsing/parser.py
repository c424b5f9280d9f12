"""Parses decoded JSON into a PipelineIR, or into a list of all problems of its fields and of its structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

from pydantic import BaseModel, ValidationError

from headrace.ir.base import wire_names
from headrace.ir.document import PipelineIR
from headrace.ir.hooks import HOOKS
from headrace.ir.nodes import NODES
from headrace.ir.ops import OPS
from headrace.ir.parameters import Parameter, unused_parameters
from headrace.ir.parsing.archive_nodes import fold_archives
from headrace.ir.parsing.limits import too_large
from headrace.ir.parsing.shape import shape_problems
from headrace.ir.parsing.storable_text import unstorable_texts
from headrace.ir.parsing.structure import structure_problems
from headrace.ir.problems import MAX_PROBLEMS, Problem
from headrace.ir.providers import CONFIGS


@dataclass(frozen=True, slots=True)
class ParseResult:
    """The result of parsing: `ir` and no problems, or problems and no `ir`."""

    ir: PipelineIR | None
    problems: list[Problem]


def parse_ir(document: object) -> ParseResult:
    """Parses decoded JSON. Never raises: all faults are in `problems`, each with path, code, message and hint."""
    if (beyond := too_large(document)) is not None:
        return ParseResult(None, [beyond])
    if texts := list(islice(unstorable_texts(document), MAX_PROBLEMS)):
        return ParseResult(None, texts)  # only these: other problems could quote the texts
    structural = [*structure_problems(document), *unused_parameters(document)]
    try:
        ir = PipelineIR.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        shape = islice(shape_problems(document, error.errors(include_url=False), _fields_of), MAX_PROBLEMS)
        return ParseResult(None, [*shape, *structural][:MAX_PROBLEMS])
    if structural:
        return ParseResult(None, structural)
    ir, misplaced = fold_archives(ir)
    return ParseResult(None if misplaced else ir, misplaced)


def _fields_of(parent: object, owner: object, path: str) -> list[str]:
    if not isinstance(parent, Mapping):
        return []
    if isinstance(owner, Mapping) and owner.get("config") is parent and owner.get("provider") in CONFIGS:
        return wire_names(CONFIGS[owner["provider"]])
    types: Mapping[str, type[BaseModel]] = HOOKS if "Hook" in path else OPS
    if path.startswith("parameters."):
        return wire_names(Parameter)
    model = NODES.get(str(parent.get("kind"))) or types.get(str(parent.get("type")))
    if model is None and parent.get("kind") == "pipeline":
        return wire_names(PipelineIR)
    return wire_names(model) if model is not None else []
