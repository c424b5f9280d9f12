"""Authentication, rate limits and failures: which requests are sent, and how often."""

from __future__ import annotations

import logging
from email.utils import formatdate
from time import time
from typing import Any

import pytest

from headrace.connectors.errors import SourceError
from headrace.connectors.http.pace import Pace, requested_wait
from tests.connectors.http.api_server import ApiServer, Failure, numbered, waited
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import rows


@pytest.mark.parametrize(
    ("config", "credentials", "header"),
    [
        ({}, {"token": "t-123456"}, ("Authorization", "Bearer t-123456")),
        ({}, {"username": "anna", "password": "pä"}, ("Authorization", "Basic YW5uYTpww6Q=")),
        ({"auth": {"type": "api_key"}}, {"apiKey": "k-123456"}, ("X-Api-Key", "k-123456")),
        (
            {"auth": {"type": "api_key", "header": "Authorization", "prefix": "Token "}},
            {"apiKey": "k-123456"},
            ("Authorization", "Token k-123456"),
        ),
        ({}, {"headers": {"X-Own": "secret-value"}}, ("X-Own", "secret-value")),
    ],
)
def test_a_login_is_sent(
    api: ApiServer, config: dict[str, Any], credentials: dict[str, Any], header: tuple[str, str]
) -> None:
    api.records["orders"], api.key = numbered(1), header
    assert len(rows(source(api, paged("token"), credentials=credentials, **config))) == 1
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged("token")))
    assert refused.value.code == "login_refused"


def test_a_key_in_the_query_is_in_no_message_log_and_position(api: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    api.records["orders"] = numbered(250)
    auth = {"auth": {"type": "api_key", "query": "api_key"}, "credentials": {"apiKey": "k-very-secret"}}
    found = source(api, paged("next"), **auth)
    seen = found.discover(max_partitions=1)
    batches = list(found.read(seen.partitions[0], seen.schema))
    assert all(each.query["api_key"] == "k-very-secret" for each in api.asked)
    assert sum(batch.rows for batch in batches) == 250
    assert "k-very-secret" not in repr([batch.position for batch in batches]) + repr(seen)
    api.failures = [Failure(400, body=b'{"error": "the key k-very-secret is bad"}')]
    with pytest.raises(SourceError, match=r"the key \*\*\* is bad") as refused:
        rows(source(api, paged("next"), **auth))
    assert "k-very-secret" not in str(refused.value)
    assert not [
        each for each in caplog.records if each.name.startswith(("httpx", "headrace")) and "k-very" in each.getMessage()
    ]


OAUTH = {"clientId": "app", "clientSecret": "s3cret-of-client"}


def test_a_token_is_fetched_and_once_again_when_it_has_expired(api: ApiServer) -> None:
    api.records["orders"], api.tokens = numbered(250), []
    auth = {"type": "oauth2", "oauthUrl": f"{api.url}/oauth", "scopes": ["read", "all"]}
    found = source(api, paged("token"), credentials=OAUTH, auth=auth)
    seen = found.discover(max_partitions=1)
    assert api.made == 1
    api.tokens.clear()  # it has expired
    assert sum(batch.rows for batch in found.read(seen.partitions[0], seen.schema)) == 250
    assert api.made == 2
    assert "scope=read+all" in api.asked[0].body
    assert "Authorization" not in api.asked[0].headers


def test_a_token_that_is_refused_when_it_is_new_is_not_fetched_for_ever(api: ApiServer) -> None:
    api.records["orders"], api.tokens = numbered(2), None
    api.key = ("Authorization", "never")
    auth = {"type": "oauth2", "oauthUrl": f"{api.url}/oauth"}
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged("token"), credentials=OAUTH, auth=auth))
    assert (refused.value.code, api.made) == ("login_refused", 2)
    wrong = {**OAUTH, "clientSecret": "something-else"}
    with pytest.raises(SourceError, match="invalid_client") as refused:
        rows(source(api, paged("token"), credentials=wrong, auth=auth))
    assert refused.value.code == "login_refused"
    assert "something-else" not in str(refused.value)


def test_a_storm_of_429_is_waited_for_as_reported(api: ApiServer) -> None:
    api.records["orders"] = numbered(150)
    times, sleep = waited()
    storm = [Failure(429, {"Retry-After": "7"}), Failure(429, {"X-RateLimit-Reset": str(int(time()) + 30)})]
    api.failures = [*storm, Failure(503), Failure(500)]
    assert len(rows(source(api, paged("token"), sleep=sleep))) == 150
    assert times[0] == 7
    assert 28 <= times[1] <= 30
    assert all(0 < each <= 8 for each in times[2:])
    assert len(times) == 4


def test_a_wait_that_is_too_long_is_reported(api: ApiServer) -> None:
    times, sleep = waited()
    api.failures = [Failure(429, {"Retry-After": "3600"})]
    with pytest.raises(SourceError, match="3,600 s") as refused:
        rows(source(api, paged("token"), sleep=sleep))
    assert (refused.value.code, times) == ("rate_limited", [])


def test_an_api_that_keeps_failing_is_given_up(api: ApiServer) -> None:
    times, sleep = waited()
    api.failures = [Failure(502)] * 50
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged("token"), sleep=sleep))
    assert refused.value.code == "connection_failed"
    assert 5 < len(times) <= 12


def test_an_api_that_asks_to_wait_no_time_for_ever_is_given_up(api: ApiServer) -> None:
    times, sleep = waited()
    api.failures = [Failure(429, {"Retry-After": "0"})] * 300
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged("token"), sleep=sleep))
    assert (refused.value.code, len(times)) == ("rate_limited", 100)


def test_an_answer_that_cannot_be_unpacked_is_not_asked_for_again(api: ApiServer) -> None:
    times, sleep = waited()
    api.failures = [Failure(200, {"Content-Encoding": "gzip"}, b"[no gzip]")]
    with pytest.raises(SourceError) as refused:
        rows(source(api, paged("token"), sleep=sleep))
    assert (refused.value.code, times) == ("bad_page", [])


def test_a_cut_answer_is_asked_for_again(api: ApiServer) -> None:
    api.records["orders"] = numbered(250)
    found = source(api, paged("token"), sleep=waited()[1])
    seen = found.discover(max_partitions=1)
    api.failures = [Failure(200, body=b'{"items": [], "meta": {}}', cut=True)]
    assert sum(batch.rows for batch in found.read(seen.partitions[0], seen.schema)) == 250


def test_what_cannot_get_better_is_not_asked_for_again(api: ApiServer) -> None:
    times, sleep = waited()
    with pytest.raises(SourceError, match="answered 404") as refused:
        rows(source(api, {"path": "/token/nothing"}, sleep=sleep))
    assert (refused.value.code, times, len(api.asked)) == ("not_found", [], 1)


def test_github_answers_403_where_nothing_is_left_of_a_limit(api: ApiServer) -> None:
    api.records["orders"] = numbered(1)
    times, sleep = waited()
    api.failures = [Failure(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "5"})]
    assert len(rows(source(api, paged("token"), sleep=sleep))) == 1
    assert 5 in [round(each) for each in times]


def test_requests_keep_their_pace() -> None:
    times: list[float] = []
    pace = Pace(4, clock=lambda: 100.0, sleep=times.append)
    for _ in range(4):
        pace.before()
    assert times == [0.25, 0.5, 0.75]
    pace.after({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "20"}, longest=60)
    pace.before()
    assert times[-1] == 20


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": formatdate(1_700_000_030, usegmt=True)}, 30),
        ({"x-ratelimit-reset": "1700000010"}, 10),
        ({"x-ratelimit-reset": "1700000010000"}, 10),
        ({"ratelimit-reset": "12"}, 12),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_waits_are_read_however_they_are_written(headers: dict[str, str], seconds: float | None) -> None:
    assert requested_wait(headers, 1_700_000_000) == seconds
