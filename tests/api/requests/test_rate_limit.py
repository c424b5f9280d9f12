"""Rate limit of requests per key and minute, and Retry-After."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.app import BASE_PATH, create_app
from headrace.api.requests.rate_limit import RateLimiter
from tests.api.conftest import Facade, LocalOrchestrator, error_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_limit_is_admitted_and_no_more() -> None:
    limiter = RateLimiter(5, 60, Clock())
    assert [limiter.admit("a") == 0 for _ in range(7)] == [True] * 5 + [False] * 2
    assert limiter.admit("b") == 0


def test_no_limit_admits_everything() -> None:
    limiter = RateLimiter(0)
    assert not any(limiter.admit("a") for _ in range(1000))


def test_a_burst_at_the_edge_of_a_minute_does_not_get_twice_the_limit() -> None:
    clock = Clock()
    limiter = RateLimiter(100, 60, clock)
    clock.now = 60 * 20 - 0.1
    assert sum(limiter.admit("a") == 0 for _ in range(200)) == 100
    clock.now += 0.2
    assert sum(limiter.admit("a") == 0 for _ in range(200)) <= 1


@given(
    limit=st.integers(1, 50),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(1, 80)), min_size=1, max_size=8),
)
def test_who_waits_as_reported_is_admitted(limit: int, steps: list[tuple[float, int]]) -> None:
    clock = Clock()
    limiter = RateLimiter(limit, 60, clock)
    for pause, requests in steps:
        clock.now += pause
        for _ in range(requests):
            wait = limiter.admit("a")
            assert 0 <= wait <= 121
    for _ in range(5):
        if wait := limiter.admit("a"):
            clock.now += wait
            assert limiter.admit("a") == 0


@pytest.mark.postgres
def test_a_key_that_asks_too_often_is_429_until_it_may_again(facade: Facade) -> None:
    settings = facade.app.state.services.settings.model_copy(update={"rate_limit": 3})
    app = create_app(settings, orchestrator=LocalOrchestrator(), engine=facade.engine)
    viewer, editor = (TestClient(app, headers=client.headers) for client in (facade.viewer, facade.editor))
    answers = [viewer.get(f"{BASE_PATH}/pipelines") for _ in range(5)]
    assert [answer.status_code for answer in answers[:3]] == [200] * 3
    assert error_of(answers[-1], 429)["code"] == "too_many_requests"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 120
    assert editor.get(f"{BASE_PATH}/pipelines").status_code == 200
    assert viewer.get("/healthz").status_code == 200
