"""The connector `http_pull`: files at single URLs, a list of URLs, or a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.connection_test import found_files
from headrace.connectors.files.discovery import file_stream, file_streams
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.files.source import FileSource
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.specs.files import HttpPull
from headrace.connectors.stores.http.client import HttpClient, login, origin
from headrace.connectors.stores.http.files import HttpFiles
from headrace.connectors.stores.remote import pattern_name
from headrace.ir.problems import Problem

_STAYS = "Files on web servers are read where they are: nothing can be moved there"


def http_files(context: Context) -> HttpFiles:
    """The store of a connection. Raises SourceError."""
    config = HttpPull.model_validate(dict(context.connection.config))
    urls = [*([config.url] if config.url else ()), *config.urls]
    headers, secrets = login(context.connection.credentials)
    named = [*urls, *([config.manifest] if config.manifest else ())]
    origins = frozenset(origin(WebAddress.of(url)) for url in named)
    if headers and any(scheme == "http" for scheme, _, _ in origins) and not config.insecure_login:
        raise SourceError(
            "insecure",
            "The login would be sent over http, which others can read.",
            "Use https; in a network that you trust, set config.insecureLogin to true.",
        )
    client = HttpClient(context.surroundings.networks, headers, origins, secrets)
    return HttpFiles(client, urls, config.manifest, context.surroundings.scratch)


def _problems(settings: Mapping[str, Any]) -> list[Problem]:
    found = file_problems(settings)
    if settings.get("atomicity") is not None:
        found.append(Problem("config.atomicity", "not_movable", _STAYS, "remove it"))
    return found


def _open(context: Context) -> FileSource:
    if context.settings.get("atomicity") is not None:
        raise SourceError("bad_option", f"config.atomicity: {_STAYS}.", "Remove it.")
    return FileSource(
        "http_pull", context.settings, http_files(context), fields=context.fields, scratch=context.surroundings.scratch
    )


def _check(context: Context) -> Found:
    return found_files(FileSource("http_pull", {}, http_files(context)), "the addresses of the connector")


def _dataset(context: Context) -> DatasetName:
    config = context.connection.config
    given = config.get("urls") or [""]
    there = WebAddress.of(str(config.get("url") or config.get("manifest") or given[0])).url
    folder = there.path.rpartition("/")[0]
    name = pattern_name(context.settings, folder) or there.path.strip("/")
    return DatasetName(f"{there.scheme}://{there.netloc.decode()}", f"/{name}")


HTTP_PULL = Connector(
    "http_pull",
    ("http_pull",),
    check=_check,
    open=_open,
    settings=FileSettings,
    problems=_problems,
    dataset=_dataset,
    streams=file_streams(_open),
    stream=file_stream(_open),
)
