"""GitHub: the streams of all repositories of an organisation, and again what changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from headrace.connectors.connector import Context
from headrace.connectors.http.shipped.documents import shipped_documents
from tests.connectors.http.api_server import Failure
from tests.connectors.http.shipped.reading import context, read
from tests.connectors.http.shipped.records import moment, put, records
from tests.connectors.http.shipped.service import Listing, Service, github_pages, said

LIMITED = Failure(
    403,
    {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1767225600"},
    b'{"message": "API rate limit exceeded for user ID 1."}',
)
REPOSITORIES = ("spoon", "fork", "empty")
PATHS = {"issue_comments": "issues/comments", "pull_requests": "pulls"}
GROWS = {
    "issues": "updated_at",
    "issue_comments": "updated_at",
    "pull_requests": "updated_at",
    "commits": "commit.committer.date",
}
STREAMS = [each["id"] for each in shipped_documents()["github"]["endpoints"] if each["id"] != "repositories"]
PARAMS = {
    "issues": ("state", "sort", "direction"),
    "issue_comments": ("sort", "direction"),
    "pull_requests": ("state", "sort", "direction"),
}


@pytest.fixture
def github() -> Iterator[Service]:
    service = Service(("Authorization", "Bearer ghp_abc123"), LIMITED)
    paged = ("page", "per_page")
    repositories = records("github", "repositories", len(REPOSITORIES))
    for each, name in zip(repositories, REPOSITORIES, strict=True):
        each["name"] = name
    service.add(Listing("/orgs/octo/repos", github_pages, 100, (*paged, "sort"))).rows = repositories
    for stream in STREAMS:
        for number, name in enumerate(REPOSITORIES[:2]):
            service.add(
                Listing(
                    path(stream, name),
                    github_pages,
                    100,
                    (*paged, *PARAMS.get(stream, ())),
                    since="since" if stream in ("issues", "issue_comments", "commits") else None,
                    grows=GROWS.get(stream, ""),
                    newest_first=stream in ("pull_requests", "commits"),
                )
            ).rows = changed(stream, 130, begin=1 + 1000 * number)
    service.pages[path("commits", "empty")] = lambda asked: said(409, {"message": "Git Repository is empty."})
    for stream in ("issues", "issue_comments"):
        service.pages[path(stream, "empty")] = lambda asked: said(410, {"message": "Issues are disabled"})
    for stream in ("pull_requests", "releases", "stargazers"):
        service.add(Listing(path(stream, "empty"), github_pages, 100, (*paged, *PARAMS.get(stream, ()))))
    yield service
    service.close()


def path(stream: str, name: str) -> str:
    return f"/repos/octo/{name}/{PATHS.get(stream, stream)}"


def changed(stream: str, count: int, *, begin: int = 1) -> list[dict[str, Any]]:
    made = records("github", stream, count, begin=begin)
    for number, each in enumerate(made, begin):
        if stream in GROWS:
            put(each, GROWS[stream], moment(number))
    return made


def source(service: Service, stream: str) -> Context:
    return context("github", service, stream, {"token": "ghp_abc123"}, owner="octo")


def test_repositories_are_read(github: Service) -> None:
    rows, _ = read(source(github, "repositories"))
    assert [each["name"] for each in rows] == [*REPOSITORIES]
    assert github.asked[0].headers["Accept"] == "application/vnd.github+json"


@pytest.mark.parametrize("stream", ["pull_requests", *(pytest.param(s, marks=pytest.mark.slow) for s in STREAMS)])
def test_a_stream_of_all_repositories_is_read_and_again_what_changed(github: Service, stream: str) -> None:
    github.throttle(3)
    first, position = read(source(github, stream), most=1)
    assert len(first) == 260
    assert {each["repository"] for each in first} == {"spoon", "fork"}
    asked = len(github.asked)
    github.listings[path(stream, "spoon")].rows += changed(stream, 3, begin=131)
    again, after = read(source(github, stream), position, most=1)
    spoon = [each for each in again if each["repository"] == "spoon"]
    if stream in ("releases", "stargazers"):
        assert len(again) == 263
        return
    assert len(spoon) == (133 if stream == "commits" else 3)  # a lookback of 30 days
    assert len(again) == len(spoon) + (130 if stream == "commits" else 0)
    if stream == "pull_requests":  # newest first: one page of each repository is enough
        assert [each.path for each in github.asked[asked:] if "pulls" in each.path].count(path(stream, "spoon")) <= 2
        assert not [each for each in github.asked[asked:] if each.query.get("page") == "2"]
    assert read(source(github, stream), after, most=1)[0] == [] or stream == "commits"


def test_an_enterprise_server_is_reached_by_its_own_address(github: Service) -> None:
    github.pages["/api/v3/orgs/octo/repos"] = github.pages["/orgs/octo/repos"]
    made = context("github", github, "repositories", {"token": "ghp_abc123"}, owner="octo", url=f"{github.url}/api/v3")
    assert len(read(made)[0]) == 3
