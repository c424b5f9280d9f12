"""`headrace connectors new|validate|build|try`: connectors for HTTP APIs as YAML documents, without a stack."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.deployments.cli.documents.yaml_format import read_yaml, write_yaml
from headrace.deployments.cli.documents.yaml_limits import ParseFault
from headrace.deployments.cli.options import Json
from headrace.deployments.cli.output import emit, note, out, say
from headrace.deployments.errors import HeadraceError
from headrace.ir.problems import Problem

_NEW = """\
# A connector for an HTTP API. Every setting: docs/yaml-connectors.md
kind: connector
version: "1.0"
id: {id}
displayName: {id}
category: web
url: "{{{{base_url}}}}"
variables:
  base_url: {{description: "The address of the API", default: "https://api.example.com/v1"}}
auth:
- {{type: bearer, tokenRef: "{{{{secrets.token}}}}"}}
endpoints:
- id: orders
  path: /orders
  records: data
  pagination: {{type: cursor, param: after, next: meta.next}}
  # only what is new since the last run:
  # params: {{updated_since: "{{{{cursor}}}}"}}
  # cursor: {{field: updated_at}}
read: {{primary: orders}}
"""

File = Annotated[Path, typer.Argument(help="The YAML file of the connector.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="A variable of the document; may be repeated.", metavar="NAME=VALUE")
]


class DocumentFault(HeadraceError):
    """A document has problems."""

    def __init__(self, message: str, problems: list[Problem]) -> None:
        super().__init__(message)
        self.problems = problems


def new(file: File) -> None:
    """Write a new connector's document to begin with; nothing is overwritten."""
    if file.exists():
        raise HeadraceError(f"{file} is there already; nothing was written.")
    name = "".join(each if each.isascii() and each.isalnum() else "_" for each in file.stem.lower()).strip("_")
    name = name if name[:1].isalpha() else f"api_{name}"
    file.write_text(_NEW.format(id=name[:60]), encoding="utf-8")
    say(f"{file}: written. Check it with `headrace connectors validate {file}`")


def validate(file: File, as_json: Json = False) -> None:
    """Check a connector's document: every problem at once, with its line."""
    document, lines = _read(file)
    from headrace.connectors.http.definition.build import document_problems
    from headrace.connectors.http.definition.places import line_of

    found = document_problems(document)
    if as_json:
        emit([{**each.as_dict(), "line": line_of(each.path, document, lines)} for each in found])
    else:
        for each in found:
            hint = f" ({each.hint})" if each.hint else ""
            out.print(f"{file}:{line_of(each.path, document, lines)}: {escape(f'{each.path}: {each.message}{hint}')}")
    if found:
        raise DocumentFault(f"{file} has {len(found)} problem{'' if len(found) == 1 else 's'}.", found)
    if not as_json:
        say(f"{file}: valid, {len(document['endpoints'])} endpoint(s)")


def build(
    file: File,
    values: Set = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Name the document, which is pushed or applied, instead of its endpoints.")
    ] = False,
) -> None:
    """Print the record that `headrace apply` makes of a connector's document; secrets come from variables of the
    environment when it is applied."""
    made = _built(file, values)
    config = made.config
    if stored:
        config = {name: config[name] for name in ("url", "auth") if name in config}
        given = dict(each.split("=", 1) for each in values or [])
        config |= {"document": _read(file)[0]["id"], **({"variables": given} if given else {})}
    record = {"kind": "connector", "name": made.name, "type": "rest_api", "config": _escaped(config)}
    record |= {"authMethod": made.auth_method}
    if made.secrets:
        record["authConfig"] = {name: f"${{{_variable(secret)}}}" for name, secret in made.secrets.items()}
    typer.echo(write_yaml(record), nl=False)


def try_document(
    file: File,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Another endpoint than read.primary.")] = None,
    values: Set = None,
    networks: Annotated[
        list[str] | None, typer.Option("--network", help="A network besides the internet, such as 10.0.0.0/8.")
    ] = None,
    insecure_login: Annotated[
        bool, typer.Option("--insecure-login", help="Send the login over http too, in a trusted network.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask an endpoint of a connector's document for one page and show it; secrets come from the environment."""
    from headrace.connectors.connector import Connection, Context, Surroundings
    from headrace.connectors.errors import SourceError
    from headrace.connectors.files.paths import FilesRoot
    from headrace.connectors.http.connector import REST_API

    made = _built(file, values)
    credentials = {}
    for name, secret in made.secrets.items():
        if (value := os.environ.get(_variable(secret))) is None:
            raise HeadraceError(f"The secret '{secret}' is not there.", f"Set the variable {_variable(secret)}.")
        credentials[name] = value
    config = {**made.config, **({"insecureLogin": True} if insecure_login else {})}
    try:
        allowed = tuple(ip_network(each) for each in networks or ())
    except ValueError as error:
        raise HeadraceError(f"--network: {error}.") from None
    surroundings = Surroundings(FilesRoot(Path.cwd()), allowed)
    settings = {"endpoint": endpoint} if endpoint is not None else {}
    try:
        found = REST_API.tried(Context(Connection("", "rest_api", config, credentials), surroundings, settings))
    except SourceError as error:
        raise HeadraceError(error.message, error.hint) from None
    if as_json:
        emit({"message": found.message, "sample": dict(found.sample)})
        return
    say(found.message)
    for each in found.sample.get("records", []):
        out.print(f"  {escape(str(each))}")
    note("Nothing was stored.")


def read_checked(file: Path) -> dict[str, Any]:
    """The document of a file. Raises HeadraceError, with the place of every problem."""
    document, lines = _read(file)
    from headrace.connectors.http.definition.build import document_problems
    from headrace.connectors.http.definition.places import line_of

    if found := document_problems(document):
        said = "\n".join(
            f"  {file}:{line_of(each.path, document, lines)}: {each.path}: {each.message}" for each in found
        )
        raise DocumentFault(f"{file} has {len(found)} problem{'' if len(found) == 1 else 's'}.\n{said}", found)
    return {name: value for name, value in document.items() if name != "$schema"}


def _built(file: Path, values: list[str] | None) -> Any:
    document, _ = _read(file)
    from headrace.connectors.http.definition.build import build as built
    from headrace.connectors.http.definition.build import document_problems, variables_of

    if found := document_problems(document):
        raise DocumentFault(f"{file}: {found[0].path}: {found[0].message}.", found)
    given = {}
    for each in values or []:
        name, sign, value = each.partition("=")
        if not sign or name not in variables_of(document):
            known = ", ".join(variables_of(document)) or "none"
            raise HeadraceError(f"--set {each}: the variables are: {known}.", "Write --set NAME=VALUE.")
        given[name] = value
    if missing := [name for name, default in variables_of(document).items() if default is None and name not in given]:
        raise HeadraceError(f"'{missing[0]}' has no value.", f"Add --set {missing[0]}=VALUE.")
    made = built(document, given)
    if made.problems:
        first = made.problems[0]
        raise DocumentFault(f"{file}: {first.path}: {first.message}.", made.problems)
    return made


def _read(file: Path) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        text = file.read_text(encoding="utf-8")
        found = list(read_yaml(text))
    except OSError as error:
        raise HeadraceError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise HeadraceError(f"{file} is not UTF-8.") from None
    except ParseFault as fault:
        raise HeadraceError(f"{file}:{fault.line or 1}: {fault.message}.", fault.hint) from None
    if len(found) != 1:
        raise HeadraceError(f"{file} holds {len(found)} documents.", "A connector is one object.")
    if not isinstance(found[0][0], dict):
        raise HeadraceError(f"{file} is not an object.", "A connector is one object.")
    return found[0]


def _escaped(value: Any) -> Any:
    """With `${` doubled, which is a variable in files for `headrace apply`."""
    match value:
        case str(text):
            return text.replace("${", "$${")
        case dict(entries):
            return {name: _escaped(inner) for name, inner in entries.items()}
        case list(items):
            return [_escaped(inner) for inner in items]
    return value


def _variable(secret: str) -> str:
    """The environment's variable of a secret: `clientId` is CLIENT_ID."""
    return "".join(f"_{each}" if each.isupper() and at else each for at, each in enumerate(secret)).upper()
