"""Asking: each question once, several at a time, again where that helps, and never where it must not go."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import polars as pl
import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.enrich import PROVIDERS, Enricher, Interrupted, ProviderAccess
from headrace.flows.enrich import client as line_module
from headrace.flows.enrich.rate_limit import retry_after
from headrace.ir.providers import CONFIGS
from headrace.ir.schema import Field
from tests.flows.enrich.stranger import LOOPBACK, Asked, Said, Stranger, stranger


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "FIRST_PAUSE_S", 0.001)


def asking(
    there: Stranger,
    provider: str = "http",
    *,
    secret: str | None = None,
    providers: ProviderAccess | None = None,
    **config: Any,
) -> Enricher:
    base = {"url": f"{there.url}/v?q={{a}}", "pointer": "/v"} if provider == "http" else {"url": there.url}
    settings = CONFIGS[provider].model_validate(base | config)
    output = Field("out", settings.data_type)
    providers = providers or ProviderAccess(LOOPBACK)
    return Enricher("node", PROVIDERS[provider](settings), settings, output, secret=secret, providers=providers)


def said(asks: Enricher, *values: Any) -> list[tuple[Any, Any]]:
    """(value, reason) for each value of the one field."""
    found = asks(pl.DataFrame({"a": values}).to_struct("in"))
    return list(found.struct.unnest().select("value", "reason").rows())


def shout(asked: Asked) -> Said:
    return Said({"v": asked.query["q"].upper()})


def test_each_distinct_value_is_asked_for_once_in_a_run_however_many_partitions_have_it() -> None:
    with stranger(shout) as there:
        asks = asking(there)
        batches = [["a", "b ü/&", "a", None], ["a", "c"], ["c", None, "b ü/&"]] * 3
        with ThreadPoolExecutor(3) as pool:
            found = [*pool.map(lambda batch: said(asks, *batch), batches)]
        assert found == [[(v and v.upper(), None) for v in batch] for batch in batches]
        assert sorted(asked.query["q"] for asked in there.asked) == ["a", "b ü/&", "c"]


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.flows.enrich.enricher.CACHED_ROWS", 2)
    with stranger(shout) as there:
        asks = asking(there)
        said(asks, "a", "b", "c")
        said(asks, "c", "b", "a")
        assert [asked.query["q"] for asked in there.asked[3:]] == ["a"]
        monkeypatch.setattr("headrace.flows.enrich.enricher.CACHED_BYTES", 3)
        said(asks, "d")
        said(asks, "d", "c")
        assert [asked.query["q"] for asked in there.asked[4:]] == ["d", "c"]


def test_an_answer_that_is_nested_beyond_reason_is_none() -> None:
    with stranger(lambda _: Said(b"[" * 200_000)) as there:
        assert said(asking(there), "a") == [(None, "the answer is nested too deeply")]


def test_so_many_requests_are_under_way_and_no_more() -> None:
    inside = threading.Barrier(3, timeout=20)

    def meet(asked: Asked) -> Said:
        inside.wait()  # nobody is answered before three are there
        return shout(asked)

    with stranger(meet) as there:
        assert said(asking(there, maxConnections=3), *"abcdef") == [(v, None) for v in "ABCDEF"]
        assert there.most_at_once == 3


def test_a_provider_that_stumbles_is_asked_again() -> None:
    answers = iter([Said(status=503), Said(status=429), Said({"v": "late"})])
    with stranger(lambda _: next(answers)) as there:
        assert said(asking(there), "a") == [("late", None)]


def test_everybody_waits_as_long_as_the_provider_wants() -> None:
    times: list[float] = []

    def limited(asked: Asked) -> Said:
        times.append(time.monotonic())
        return Said(status=429, headers={"Retry-After": "1"}) if len(times) == 1 else shout(asked)

    with stranger(limited) as there:
        assert said(asking(there, maxConnections=1), "a", "b") == [("A", None), ("B", None)]
        assert times[1] - times[0] >= 0.9


def test_retry_after_is_seconds_or_a_moment() -> None:
    moment = datetime.now(UTC) + timedelta(seconds=60)
    assert retry_after("7") == 7
    assert 50 < (retry_after(format_datetime(moment, usegmt=True)) or 0) <= 60
    assert [retry_after(text) for text in (None, "soon", "-1")] == [None, None, None]


def test_what_fails_has_no_value_and_a_reason_and_only_what_may_pass_is_asked_for_again() -> None:
    def some(asked: Asked) -> Said:
        return {
            "gone": Said({"error": "no such thing"}, 404),
            "html": Said(b"<html>"),
            "down": Said(status=500),
        }.get(asked.query["q"]) or shout(asked)

    with stranger(some) as there:
        asks = asking(there, maxAttempts=2)
        host = "127.0.0.1"
        assert said(asks, "gone", "html", "down", "ok") == [
            (None, f"{host} answered 404"),
            (None, f"{host} did not answer with JSON"),
            (None, f"{host} answered 500 (2 attempts)"),
            ("OK", None),
        ]
        asked = len(there.asked)
        there.answer = shout
        assert said(asks, "gone", "down", "ok") == [
            (None, f"{host} answered 404"),
            ("DOWN", None),
            ("OK", None),
        ]
        assert len(there.asked) == asked + 1


def test_a_provider_that_does_not_admit_us_is_asked_once() -> None:
    with stranger(lambda _: Said({"error": "key s3cret is wrong"}, 401)) as there:
        asks = asking(there, secret="s3cret", maxConnections=1)
        found = asks(pl.DataFrame({"a": ["a", "b", "c"]}).to_struct("in")).struct.unnest()
        assert found.get_column("reason").unique().to_list() == ["127.0.0.1 answered 401"]
        assert found.get_column("detail").to_list() == ['{"error": "key *** is wrong"}', None, None]
        assert len(there.asked) == 1


@pytest.mark.parametrize("status", [500, 503, 408, 425, 429])
def test_a_provider_that_is_away_is_given_up_after_a_while(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(line_module, "MAX_FAILURES_IN_A_ROW", 3)
    with stranger(lambda _: Said(status=status)) as there:
        asks = asking(there, maxAttempts=2, maxConnections=1)
        reasons = {reason for _, reason in said(asks, *map(str, range(50)))}
        assert reasons == {f"127.0.0.1 answered {status} (2 attempts)"}
        assert len(there.asked) == 6


def test_an_answer_between_failures_keeps_a_provider_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MAX_FAILURES_IN_A_ROW", 3)
    answers = itertools.cycle([Said(status=500), Said(status=429), Said({"error": "no such place"}, 404)])
    with stranger(lambda _: next(answers)) as there:
        said(asking(there, maxAttempts=1, maxConnections=1), *map(str, range(30)))
        assert len(there.asked) == 30


def test_the_key_goes_where_it_is_wanted() -> None:
    with stranger(shout) as there:
        for config in ({}, {"apiKeyHeader": "X-Api-Key"}, {"apiKeyParam": "key"}):
            said(asking(there, secret="s3 cret", **config), "a")
        bearer, header, query = there.asked
        assert bearer.headers["Authorization"] == "Bearer s3 cret"
        assert (header.headers["X-Api-Key"], "Authorization" in header.headers) == ("s3 cret", False)
        assert query.query == {"q": "a", "key": "s3 cret"}


def test_addresses_inside_the_network_are_not_dialled_and_redirects_not_followed() -> None:
    with stranger(shout) as inside, pytest.raises(SourceError, match="address inside the server's network"):
        said(asking(inside, providers=ProviderAccess()), "a")
    assert inside.asked == []
    with stranger(shout) as other:
        elsewhere = {"Location": f"{other.url}/v?q=a"}
        with stranger(lambda _: Said(status=302, headers=elsewhere)) as there:
            assert said(asking(there), "a") == [(None, "127.0.0.1 answered 302")]
        assert other.asked == []


def test_an_answer_too_long_or_too_slow_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "MAX_BYTES", 100)
    with stranger(lambda _: Said({"v": "x" * 200})) as there:
        assert said(asking(there, maxAttempts=1), "a") == [(None, "127.0.0.1 did not answer: DecodingError")]
    never = threading.Event()
    with stranger(lambda _: Said(never.wait(20))) as there:
        assert said(asking(there, maxAttempts=1, timeoutSeconds=1), "a") == [
            (None, "127.0.0.1 did not answer: ReadTimeout")
        ]
        never.set()


def test_a_run_that_stops_waits_for_nothing() -> None:
    providers = ProviderAccess(LOOPBACK)

    def stop(_: Asked) -> Said:
        providers.stopped.set()
        return Said(status=503, headers={"Retry-After": "200"})

    with stranger(stop) as there, pytest.raises(Interrupted):
        said(asking(there, providers=providers), "a", "b")


def test_answers_are_read_as_their_type_and_reported_where_they_are_not_of_it() -> None:
    values = {"a": 7, "b": "8", "c": None, "d": "many", "e": {"x": 1}}
    with stranger(lambda asked: Said({"v": values[asked.query["q"]]})) as there:
        found = said(asking(there, dataType="integer"), *values)
        assert found == [(7, None), (8, None), (None, None), *[(None, "Expected integer as the answer")] * 2]
        assert said(asking(there, dataType="json"), "b", "e") == [('"8"', None), ('{"x": 1}', None)]
        assert said(asking(there, pointer="/v/x"), "e", "a") == [("1", None), (None, None)]


def test_what_can_be_asked_together_is_and_one_that_cannot_be_taken_spoils_only_itself() -> None:
    def predict(asked: Asked) -> Said:
        instances = [each["a"] for each in asked.body["instances"]]
        if 13 in instances:
            return Said({"error": "13"}, 400)
        return Said({"predictions": [{"score": value / 2} for value in instances]})

    with stranger(predict) as there:
        asks = asking(there, "ml_score", pointer="/score", batchSize=8)
        found = said(asks, *range(16))
        assert found == [(None, "127.0.0.1 answered 400") if n == 13 else (n / 2, None) for n in range(16)]
        assert sorted(len(asked.body["instances"]) for asked in there.asked) == [1, 1, 2, 2, 4, 4, 8, 8]
