"""The connector `rest_api`: any HTTP API, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.http.answers import records_of
from headrace.connectors.http.client import Api, Sent, config_of
from headrace.connectors.http.request_settings import Request
from headrace.connectors.http.settings import RestSettings, problems
from headrace.connectors.http.source import RestSource
from headrace.connectors.network.web_address import WebAddress
from headrace.connectors.source import StreamFound

_TEST_WAIT = 3.0
"""Seconds for which a test waits and tries again: it says what is wrong before its own time is over."""
_SHOWN = 5
_SHOWN_BYTES = 2_000


def _open(context: Context) -> RestSource:
    return RestSource(context)


def _check(context: Context) -> Found:
    """Requests one page as a run does: of the settings, of the connection's test endpoint, or of its address."""
    config = config_of(context.connection.config)
    first = next(iter(config.endpoints), None)
    settings = context.settings or config.test or ({} if first is None else {"endpoint": first})
    if not settings:
        return _root(context)
    source = RestSource(replace(context, settings=settings), longest=_TEST_WAIT)
    try:
        seen = source.first_page()
        if seen is None:
            return Found("The parent has no records", {"records": []})
        page, label = seen
        count = len(page.records)
        more = "there is another page" if page.after is not None else "it is the last page"
        shown = [_cut(each) for each in page.records[:_SHOWN]]
        return Found(f"{count:,} record{'' if count == 1 else 's'}{label}; {more}", {"records": shown})
    finally:
        source.close()


def _root(context: Context) -> Found:
    api = Api(context, longest=_TEST_WAIT)
    try:
        answer = api.asked(Sent("GET", api.address("")))
    except SourceError as error:
        if error.code != "not_found":
            raise
        return Found("The API answers. There is nothing at its address itself: name a path in config.test", {})
    finally:
        api.close()
    try:
        records = records_of(answer, Request())
    except SourceError:
        return Found(f"{api.shown(answer.url)} answers, {len(answer.body):,} bytes", {"body": _cut(answer.body)})
    shown = [_cut(each) for each in records[:_SHOWN]]
    return Found(f"{len(records):,} record{'' if len(records) == 1 else 's'}", {"records": shown})


def _cut(text: bytes) -> str:
    return text[:_SHOWN_BYTES].decode("utf-8", "replace")


def _dataset(context: Context) -> DatasetName:
    there = WebAddress.of(str(context.connection.config.get("url"))).url
    path = f"{there.path.rstrip('/')}/{str(context.settings.get('path') or '').lstrip('/')}"
    return DatasetName(f"{there.scheme}://{there.netloc.decode()}", path.rstrip("/") or "/")


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    """The endpoints in the connection's config; without any, its address, because an API does not list its
    endpoints."""
    config = config_of(context.connection.config)
    named = dict(config.endpoints) or {WebAddress.of(config.url).url.path: dict(config.test)}
    of = {name: {"endpoint": name} if config.endpoints else settings for name, settings in named.items()}
    return [
        StreamFound(name, settings, kind="endpoint", key=tuple(map(str, _listed(named[name].get("key")))))
        for name, settings in of.items()
        if text in name
    ]


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


REST_API = Connector(
    "rest_api",
    ("rest_api",),
    check=_check,
    open=_open,
    settings=RestSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
)
