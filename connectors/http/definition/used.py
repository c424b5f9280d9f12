"""A connector record that names a document: its addresses and credentials, and the document's endpoints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from headrace.connectors.errors import SourceError
from headrace.connectors.http.definition.build import Built, build, document_problems, variables_of
from headrace.connectors.http.shipped.documents import document_of
from headrace.connectors.specs.services import RestAuth
from headrace.ir.problems import Problem, nearest
from headrace.ir.yaml_connectors import PREFIX, Document, is_document, reference_in, reference_of

_OWN = ("document", "variables")


TYPE = "rest_api"


def config_with_document(
    connector: str, type_name: str, config: Mapping[str, Any], documents: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Any]:
    """The config that a source is opened with: with the endpoints of its document, if it reads with one. `connector` is
    that of the source node, `type_name` and `config` those of its connector. Raises SourceError."""
    wanted = wanted_document(connector, type_name, config)
    return config if wanted is None else with_endpoints(config, wanted, documents)


def wanted_document(connector: str, type_name: str, config: Mapping[str, Any]) -> Document | None:
    """The document that a source reads with; None for any other source. The version of the node comes before that of
    the connector. Raises SourceError: `wrong_connection`, `unknown_connector`."""
    named = reference_in(config) if type_name == TYPE else None
    if not is_document(connector) or connector == f"{PREFIX}{type_name}":
        return named  # a record of the document's own type needs no other
    read = reference_of(connector)
    if read is None:
        raise SourceError(
            "unknown_connector", f"'{connector}' names no document.", "Write yaml:github or yaml:github@3."
        )
    if named is None or named.id != read.id:
        has = "no document" if named is None else f"the document '{named.id}'"
        raise SourceError(
            "wrong_connection",
            f"'{connector}' reads through a connector of type {TYPE} whose config.document is '{read.id}'; this one "
            f"{'is of type ' + type_name if type_name != TYPE else 'has ' + has}.",
            "Name another one in the source's `connection`, or set its config.document.",
        )
    return read if read.version is not None else named


def with_endpoints(
    config: Mapping[str, Any], wanted: Document, documents: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The config with the endpoints of its document in place of `document` and `variables`. Credentials are sent to
    the config's own `url`, whatever the document says. Raises SourceError: `unknown_document`, `bad_document`,
    `changed_address`."""
    document = document_of(wanted, documents)
    if document is None:
        raise SourceError(
            "unknown_document",
            f"There is no connector document '{wanted}'.",
            "List them with `headrace connectors documents`, or create it with `headrace connectors push`.",
        )
    problems = list(use_problems(config, document))
    if problems:
        first = problems[0]
        code = "changed_address" if first.code == "changed_address" else "bad_document"
        raise SourceError(code, f"With the document '{wanted}', {first.path}: {first.message}.", first.hint)
    made = _built(config, document)
    own = {name: value for name, value in config.items() if name not in _OWN}
    return {**{name: value for name, value in made.config.items() if name != "auth"}, **own}


def use_problems(config: Mapping[str, Any], document: Mapping[str, Any], *, auth: bool = False) -> Iterator[Problem]:
    """The problems of a connector's config with its document: variables, and an address that is not the document's.
    With `auth`, also an authentication that is not the document's."""
    if any(document_problems(document)):
        yield Problem("config.document", "bad_document", "The document is not valid in this release", "save it again")
        return
    variables, given = variables_of(document), _variables(config)
    wrong = [
        *(
            Problem(f"config.variables.{name}", "unknown_variable", f"The document has no variable '{name}'", hint)
            for name in given
            if name not in variables and (hint := nearest(name, variables) or "remove it")
        ),
        *(
            Problem(f"config.variables.{name}", "missing_field", f"The variable '{name}' has no value", "add it")
            for name, default in variables.items()
            if default is None and name not in given
        ),
    ]
    if wrong:
        yield from wrong
        return
    made = _built(config, document)
    if made.problems:
        yield from (replace(each, path=f"config.document: {each.path}") for each in made.problems)
        return
    url = str(made.config["url"])
    if url.rstrip("/") != str(config.get("url", "")).rstrip("/"):
        message = f"The document's address is {url}"
        yield Problem("config.url", "changed_address", message, "set config.url to it, if credentials may go there")
    if auth and made.logins and _auth(config.get("auth")) not in map(_auth, made.logins):
        named = " or ".join(map(str, made.logins))
        message = f"The document's authentication is another one: {named}"
        yield Problem("config.auth", "changed_address", message, "`headrace connectors build` prints the connector")


def _built(config: Mapping[str, Any], document: Mapping[str, Any]) -> Built:
    return build(document, _variables(config))


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    given = config.get("variables")
    return {str(name): str(value) for name, value in given.items()} if isinstance(given, Mapping) else {}


def _auth(given: object) -> dict[str, Any]:
    return RestAuth.model_validate(given or {}).model_dump()
