"""The connectors of the documents that come with Headrace. Each reads as `rest_api` does, with its document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from headrace.connectors.connector import Connection, Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.settings import PARAMETER
from headrace.connectors.http.connector import REST_API
from headrace.connectors.http.definition.build import build
from headrace.connectors.http.settings import RestSettings, problems
from headrace.connectors.http.shipped.documents import shipped_documents
from headrace.connectors.source import Source, StreamFound
from headrace.connectors.specs.shipped import ShippedConfig, logins_of, needed
from headrace.ir.problems import Problem, nearest

_SETTINGS = {each.alias or name for name, each in ShippedConfig.model_fields.items()}


@cache
def shipped_connectors() -> tuple[Connector, ...]:
    """One connector for each document."""
    return tuple(
        Connector(
            name,
            (name,),
            check=partial(_check, name),
            open=partial(_open, name),
            settings=RestSettings,
            problems=partial(endpoint_problems, name),
            dataset=partial(_dataset, name),
            streams=partial(_streams, name),
            stream_setting="endpoint",
            continues=partial(_continues, name),
        )
        for name in shipped_documents()
    )


def rest_context(name: str, context: Context) -> Context:
    """The context with its record as one of the type `rest_api` with the document's endpoints. Raises
    SourceError(`bad_option`)."""
    given = context.connection
    document = shipped_documents()[name]
    variables = {
        each: str(given.config[each])
        for each in document.get("variables", ())
        if given.config.get(each) not in (None, "")
    }
    made = build(document, variables, _login(document, given.credentials))
    if made.problems:
        first = made.problems[0]
        raise SourceError("bad_option", f"{first.path.removeprefix('connector.')}: {first.message}.", first.hint)
    config = dict(made.config)
    own = {each: given.config[each] for each in _SETTINGS if given.config.get(each) is not None}
    if "url" in own and "auth" in config and str(config["auth"].get("oauthUrl", "")).startswith(f"{config['url']}/"):
        tokens = config["auth"]["oauthUrl"][len(config["url"]) :]
        config["auth"] = {**config["auth"], "oauthUrl": f"{own['url'].rstrip('/')}{tokens}"}
    return replace(context, connection=Connection(given.id, REST_API.name, {**config, **own}, given.credentials))


def endpoint_problems(name: str, config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a source's config: its settings, and an endpoint that the document does not have."""
    known = [str(each["id"]) for each in shipped_documents()[name]["endpoints"]]
    wanted = config.get("endpoint")
    if wanted is None:
        return [Problem("config.endpoint", "missing_field", "'endpoint' is required", f"one of: {', '.join(known)}")]
    if isinstance(wanted, str) and wanted not in known and not PARAMETER.search(wanted):
        return [
            Problem("config.endpoint", "unknown_endpoint", f"There is no endpoint '{wanted}'", nearest(wanted, known))
        ]
    return problems(config)


def _login(document: Mapping[str, Any], credentials: Mapping[str, Any]) -> int:
    """The index of the authentication whose credentials are given; of several, the one that needs most."""
    complete = [
        (-len(needed(each)), index)
        for index, each in enumerate(logins_of(document))
        if all(credentials.get(name) for name in needed(each))
    ]
    return min(complete)[1] if complete else 0


def _continues(name: str, settings: Mapping[str, Any]) -> bool:
    wanted = settings.get("endpoint")
    own: Mapping[str, Any] = next((e for e in shipped_documents()[name]["endpoints"] if e["id"] == wanted), {})
    return ({**own, **settings}).get("cursor") is not None


def _open(name: str, context: Context) -> Source:
    return REST_API.source(rest_context(name, context))


def _check(name: str, context: Context) -> Found:
    return REST_API.check(rest_context(name, context))


def _dataset(name: str, context: Context) -> DatasetName:
    assert REST_API.dataset is not None
    opened = rest_context(name, context)
    wanted = opened.connection.config["endpoints"].get(context.settings.get("endpoint"), {})
    return REST_API.dataset(replace(opened, settings={**wanted, **context.settings}))


def _streams(name: str, context: Context, text: str) -> Sequence[StreamFound]:
    assert REST_API.streams is not None
    return REST_API.streams(rest_context(name, context), text)
