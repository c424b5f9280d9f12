"""Files into documents: every file read, every document checked, and every fault told at once, with where it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from deployments.commands.placeholders import expand, filled_in
from deployments.commands.shapes import BESIDE_IR, SHAPES, ConnectorShape, PipelineShape, SchemaShape
from deployments.commands.yaml_text import YamlFault, read_yaml
from deployments.stack.errors import StackError
from ir import parse_ir
from ir.base import wire_names
from ir.document import without_editor_keys
from ir.problems import Problem, nearest

SUFFIXES = (".yaml", ".yml", ".json")
_SHOWN_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a document stands: its file, the how manieth it is in there (from 1), the lines of its JSON paths."""

    file: str
    number: int
    lines: Mapping[str, int]

    def place(self, path: str) -> str:
        """`orders.yaml:14 (document 2): nodes[1].ops`."""
        nearest_path = path
        while nearest_path and nearest_path not in self.lines:
            nearest_path = nearest_path[: max(nearest_path.rfind("."), nearest_path.rfind("["), 0)]
        line = self.lines.get(nearest_path)
        where = f"{self.file}{f':{line}' if line else ''} (document {self.number})"
        return f"{where}: {path}" if path else where


@dataclass(frozen=True, slots=True)
class Fault:
    """One problem in a file."""

    origin: Origin
    problem: Problem


@dataclass(frozen=True, slots=True)
class Document:
    """One object as a file has it. `name` is its identity among those of its kind.

    `secret_settings`: settings of a connector that are filled in from the environment; `ir` is a pipeline's.
    """

    kind: str
    name: str
    shape: ConnectorShape | SchemaShape | PipelineShape
    origin: Origin
    secret_settings: frozenset[str] = frozenset()
    ir: Mapping[str, Any] | None = None

    @property
    def connector(self) -> ConnectorShape:
        return cast(ConnectorShape, self.shape)

    @property
    def schema(self) -> SchemaShape:
        return cast(SchemaShape, self.shape)

    @property
    def pipeline(self) -> PipelineShape:
        return cast(PipelineShape, self.shape)


class DocumentsInvalid(StackError):
    """Files that cannot be applied; the message has a line per fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        lines = [
            f"  {each.origin.place(each.problem.path)}: {each.problem.message}"
            + (f" ({each.problem.hint})" if each.problem.hint else "")
            for each in faults[:_SHOWN_FAULTS]
        ]
        if len(faults) > _SHOWN_FAULTS:
            lines.append(f"  and {len(faults) - _SHOWN_FAULTS} more")
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{count}; nothing was changed.", *lines]))
        self.problems = tuple(replace(each.problem, path=each.origin.place(each.problem.path)) for each in faults)


def load_documents(paths: Sequence[Path], environment: Mapping[str, str]) -> list[Document]:
    """The documents of files and of folders (with the folders in them); `-` is stdin. Raises StackError for a path that
    is not there, DocumentsInvalid for whatever else."""
    documents: list[Document] = []
    faults: list[Fault] = []
    for file, text in _texts(paths):
        for body, origin in _bodies(file, text, faults):
            document = _document(body, origin, environment, faults)
            if document is not None:
                documents.append(document)
    faults += _named_twice(documents)
    if faults:
        raise DocumentsInvalid(faults)
    return documents


def _texts(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if str(path) == "-":
            yield "stdin", sys.stdin.read()
            continue
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            if not found:
                raise StackError(f"There is no {', '.join(SUFFIXES)} file in {path}.")
        else:
            found = [path]
        for file in found:
            try:
                yield str(file), file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
                raise StackError(f"{file} cannot be read: {reason}.") from None


def _bodies(file: str, text: str, faults: list[Fault]) -> Iterator[tuple[dict[str, Any], Origin]]:
    number = 0
    try:
        for number, (body, lines) in enumerate(_parsed(file, text), 1):
            origin = Origin(file, number, lines)
            if isinstance(body, dict):
                yield body, origin
            else:
                faults.append(Fault(origin, Problem("", "not_an_object", "A document is an object with a `kind`")))
    except YamlFault as fault:
        lines = {"": fault.line} if fault.line is not None else {}
        faults.append(Fault(Origin(file, number + 1, lines), Problem("", "malformed", fault.message)))


def _parsed(file: str, text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    if not file.endswith(".json"):
        yield from read_yaml(text)
        return
    try:
        value = json.loads(text)
    except ValueError as error:
        raise YamlFault(str(error), getattr(error, "lineno", None)) from None
    for each in value if isinstance(value, list) else [value]:
        yield each, {}


def _document(
    body: dict[str, Any], origin: Origin, environment: Mapping[str, str], faults: list[Fault]
) -> Document | None:
    kind = body.get("kind")
    if not isinstance(kind, str) or kind not in SHAPES:
        hint = nearest(kind, SHAPES)
        message = f"There is no kind {kind!r}" if "kind" in body else "'kind' is required"
        faults.append(Fault(origin, Problem("kind", "unknown_kind", message, hint)))
        return None
    problems: list[Problem] = []
    secret_settings: frozenset[str] = frozenset()
    ir = None
    if kind == "connector":
        secret_settings = filled_in(body["config"]) if isinstance(body.get("config"), dict) else secret_settings
        settings = {name: body[name] for name in ("config", "authConfig") if name in body}
        body = body | {name: expand(value, name, environment, problems) for name, value in settings.items()}
    elif kind == "pipeline":
        ir = {name: value for name, value in body.items() if name not in BESIDE_IR}
        problems += parse_ir(ir).problems
        ir = without_editor_keys(ir)
        body = {name: value for name, value in body.items() if name in BESIDE_IR}
    shape = _shaped(kind, without_editor_keys(body), problems)
    if kind == "connector" and isinstance(shape, ConnectorShape):
        problems += _settings_problems(shape)
    if problems or shape is None:
        faults += [Fault(origin, each) for each in problems]
        return None
    name = getattr(shape, "name", None) or (ir or {})["metadata"]["name"]
    return Document(kind, _identity(kind, name), shape, origin, secret_settings, ir)


def _shaped(
    kind: str, body: dict[str, Any], problems: list[Problem]
) -> ConnectorShape | SchemaShape | PipelineShape | None:
    model = SHAPES[kind]
    try:
        return cast(ConnectorShape | SchemaShape | PipelineShape, model.model_validate(body))
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            path = ""
            for step in each["loc"]:
                path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
            name, context = str(each["loc"][-1]) if each["loc"] else "", each.get("ctx", {})
            if each["type"] == "missing":
                problems.append(Problem(path, "missing_field", f"'{name}' is required"))
            elif each["type"] == "extra_forbidden":
                hint = nearest(name, wire_names(model)) if len(each["loc"]) == 1 else ""
                problems.append(Problem(path, "unknown_field", f"Unknown field '{name}'", hint))
            else:
                message = str(context.get("text", each["msg"]))
                problems.append(Problem(path, each["type"], message, str(context.get("hint", ""))))
        return None


def _settings_problems(shape: ConnectorShape) -> list[Problem]:
    from connectors.catalogue import CONNECTOR_TYPES

    known = CONNECTOR_TYPES.get(shape.type)
    if known is None:
        message = f"There is no connector type '{shape.type}'"
        return [Problem("type", "unknown_type", message, nearest(shape.type, CONNECTOR_TYPES))]
    credentials = shape.auth_config or {}
    needed = {name: credentials[name] for name in known.setting_names if name in credentials}
    return known.problems(needed | shape.config)


def _identity(kind: str, name: str) -> str:
    if kind != "schema":
        return name
    from catalog.schemas_ddl import sanitised

    return sanitised(name) or name


def _named_twice(documents: Sequence[Document]) -> Iterator[Fault]:
    first: dict[tuple[str, str], Document] = {}
    for each in documents:
        before = first.setdefault((each.kind, each.name), each)
        if before is not each:
            message = f"There is a {each.kind} '{each.name}' already, in {before.origin.place('')}"
            yield Fault(each.origin, Problem("name", "duplicate_name", message))
