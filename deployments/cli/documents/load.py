"""Reads files into documents and checks them; reports all faults at once, with their places."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from pydantic import ValidationError

from headrace.deployments.cli.documents.json_format import read_json
from headrace.deployments.cli.documents.models import (
    OUTER_KEYS,
    SHAPES,
    YAML_CONNECTOR,
    ConnectorShape,
    PipelineShape,
    ReplicationShape,
    SchemaShape,
    YamlConnectorShape,
)
from headrace.deployments.cli.documents.placeholders import expand, settings_with_placeholders
from headrace.deployments.cli.documents.yaml_format import read_yaml
from headrace.deployments.cli.documents.yaml_limits import ParseFault
from headrace.deployments.errors import HeadraceError
from headrace.ir import parse_ir
from headrace.ir.base import wire_names
from headrace.ir.document import without_editor_keys
from headrace.ir.problems import Problem, nearest
from headrace.ir.replication import parse_replication
from headrace.ir.secrets import credential_problems

if TYPE_CHECKING:
    from headrace.connectors.specs import ConnectorType

SUFFIXES = (".yaml", ".yml", ".json")
_SHOWN_FAULTS = 100
_MAX_BYTES = 16 * 1024 * 1024
AnyShape = ConnectorShape | SchemaShape | PipelineShape | ReplicationShape | YamlConnectorShape
UNNAMED = "-"
"""The connector and schema of a pipeline that names none."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The place of a document: its file, its number in the file (from 1), the lines of its JSON paths."""

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
    """One object of a file. `name` identifies it among those of its kind.

    `secret_settings`: settings of a connector that contain placeholders; `ir`: the IR of a pipeline; `copies`: the
    document of a replication; `described`: a connector's document.
    """

    kind: str
    name: str
    shape: AnyShape
    origin: Origin
    secret_settings: frozenset[str] = frozenset()
    ir: Mapping[str, Any] | None = None
    copies: Mapping[str, Any] | None = None
    described: Mapping[str, Any] | None = None

    @property
    def connector(self) -> ConnectorShape:
        return cast(ConnectorShape, self.shape)

    @property
    def schema(self) -> SchemaShape:
        return cast(SchemaShape, self.shape)

    @property
    def pipeline(self) -> PipelineShape:
        return cast(PipelineShape, self.shape)

    @property
    def replication(self) -> ReplicationShape:
        return cast(ReplicationShape, self.shape)


class DocumentsInvalid(HeadraceError):
    """Invalid files; the message has a line per fault."""

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


def load_documents(paths: Sequence[Path], environment: Mapping[str, str] | None) -> list[Document]:
    """The documents of files and of folders (recursively); `-` is stdin. Without an environment, `${NAME}` is kept, and
    settings that contain one are not checked. Raises StackError for a missing path, DocumentsInvalid for invalid
    files."""
    documents, faults = read_documents(texts_of(paths), environment)
    if faults:
        raise DocumentsInvalid(faults)
    return documents


def read_documents(
    texts: Iterable[tuple[str, str]], environment: Mapping[str, str] | None, *, alone: bool = False
) -> tuple[list[Document], list[Fault]]:
    """The documents of named texts (JSON for names that end in `.json`, else YAML), and the faults of invalid ones.
    `alone`: a pipeline need not name its connector and schema."""
    documents: list[Document] = []
    faults: list[Fault] = []
    for file, text in texts:
        for body, origin in _bodies(file, text, faults):
            if alone and body.get("kind") == "pipeline":
                document = _document({"connector": UNNAMED, "schema": UNNAMED} | body, origin, environment, faults)
            else:
                document = _document(body, origin, environment, faults)
            if document is not None:
                documents.append(document)
    return documents, [*faults, *_duplicates(documents)]


def texts_of(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """The names and texts of the files. Raises StackError."""
    for path in paths:
        if str(path) == "-":
            yield "stdin", _text("stdin", sys.stdin.buffer)
            continue
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            if not found:
                raise HeadraceError(f"There is no {', '.join(SUFFIXES)} file in {path}.")
        else:
            found = [path]
        for file in found:
            try:
                with file.open("rb") as opened:
                    yield str(file), _text(str(file), opened)
            except OSError as error:
                raise HeadraceError(f"{file} cannot be read: {error.strerror}.") from None


def _text(name: str, opened: BinaryIO) -> str:
    content = opened.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise HeadraceError(
            f"{name} cannot be read: it is larger than {_MAX_BYTES:,} bytes.", "Make several files of it."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise HeadraceError(f"{name} cannot be read: it is not UTF-8 (line {line}).", "Save it as UTF-8.") from None


def _bodies(file: str, text: str, faults: list[Fault]) -> Iterator[tuple[dict[str, Any], Origin]]:
    number = 0
    try:
        for number, (body, lines) in enumerate(_parsed(file, text), 1):
            origin = Origin(file, number, lines)
            if isinstance(body, dict):
                yield body, origin
            else:
                faults.append(Fault(origin, Problem("", "not_an_object", "A document is an object with a `kind`")))
    except ParseFault as fault:
        lines = {"": fault.line} if fault.line is not None else {}
        faults.append(Fault(Origin(file, number + 1, lines), Problem("", "malformed", fault.message, fault.hint)))


def _parsed(file: str, text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    if not file.endswith(".json"):
        yield from read_yaml(text)
        return
    value = read_json(text)
    for each in value if isinstance(value, list) else [value]:
        yield each, {}


def _document(
    body: dict[str, Any], origin: Origin, environment: Mapping[str, str] | None, faults: list[Fault]
) -> Document | None:
    kind = body.get("kind")
    if kind == "connector" and "type" not in body and ("endpoints" in body or "version" in body):
        kind = YAML_CONNECTOR
    if not isinstance(kind, str) or kind not in SHAPES or kind == body.get("kind") == YAML_CONNECTOR:
        hint = nearest(kind, SHAPES.keys() - {YAML_CONNECTOR})
        message = f"There is no kind {kind!r}" if "kind" in body else "'kind' is required"
        faults.append(Fault(origin, Problem("kind", "unknown_kind", message, hint)))
        return None
    problems: list[Problem] = []
    secret_settings: frozenset[str] = frozenset()
    ir = copies = described = None
    if kind == YAML_CONNECTOR:
        from headrace.connectors.http.definition.build import document_problems

        described = {name: value for name, value in body.items() if name != "$schema"}
        problems += (replace(each, path=_path_in(each.path, described)) for each in document_problems(described))
    elif kind == "connector":
        secret_settings = (
            settings_with_placeholders(body["config"]) if isinstance(body.get("config"), dict) else secret_settings
        )
        if environment is not None:
            settings = {name: body[name] for name in ("config", "authConfig") if name in body}
            body = body | {name: expand(value, name, environment, problems) for name, value in settings.items()}
    elif kind == "pipeline":
        ir = {name: value for name, value in body.items() if name not in OUTER_KEYS}
        problems += parse_ir(ir).problems
        ir = without_editor_keys(ir)
        body = {name: value for name, value in body.items() if name in OUTER_KEYS}
    elif kind == "replication":
        copies = {name: value for name, value in body.items() if name != "active"}
        problems += parse_replication(copies).problems
        copies = without_editor_keys(copies)
        body = {name: value for name, value in body.items() if name in ("kind", "active")}
    shape = _validated(kind, without_editor_keys(body), problems) if described is None or not problems else None
    if kind == "connector" and isinstance(shape, ConnectorShape) and (environment is not None or not secret_settings):
        problems += _settings_problems(shape)
    if problems or shape is None:
        faults += [Fault(origin, each) for each in problems]
        return None
    if described is not None:
        return Document(kind, str(described["id"]), shape, origin, described=described)
    name = getattr(shape, "name", None) or (ir or copies or {})["metadata"]["name"]
    return Document(kind, _identity(kind, name), shape, origin, secret_settings, ir, copies)


def _path_in(path: str, document: Mapping[str, Any]) -> str:
    """A problem's path in a connector's document, in the notation of `Origin.lines`."""
    from headrace.connectors.http.definition.places import steps_of

    found = ""
    for step in steps_of(path, document):
        found += f"[{step}]" if isinstance(step, int) else f".{step}" if found else step
    return found


def _validated(kind: str, body: dict[str, Any], problems: list[Problem]) -> AnyShape | None:
    model = SHAPES[kind]
    try:
        return cast("AnyShape", model.model_validate(body))
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
    from headrace.connectors.specs import CONNECTOR_TYPES

    known = CONNECTOR_TYPES.get(shape.type) or _installed_type(shape.type)
    if known is None:
        message = f"There is no connector type '{shape.type}'"
        return [Problem("type", "unknown_type", message, nearest(shape.type, CONNECTOR_TYPES))]
    credentials = shape.auth_config or {}
    needed = {name: credentials[name] for name in known.setting_names if name in credentials}
    return [*known.problems(needed | shape.config), *credential_problems(credentials)]


def _installed_type(name: str) -> ConnectorType | None:
    """The type of an installed package; None without the engine, whose libraries that needs."""
    try:
        from headrace.connectors.registry import connector_types
    except ModuleNotFoundError:
        return None
    return connector_types().get(name)


def _identity(kind: str, name: str) -> str:
    if kind != "schema":
        return name
    from headrace.catalog.schemas.names import sanitised

    return sanitised(name) or name


def _duplicates(documents: Sequence[Document]) -> Iterator[Fault]:
    first: dict[tuple[str, str], Document] = {}
    for each in documents:
        before = first.setdefault((each.kind, each.name), each)
        if before is not each:
            message = f"There is a {each.kind} '{each.name}' already, in {before.origin.place('')}"
            yield Fault(each.origin, Problem("name", "duplicate_name", message))
