"""A connector's document becomes a record, and all its problems are reported at once."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from headrace.connectors.http.definition.build import build, document_problems, variables_of
from headrace.connectors.specs import CONNECTOR_TYPES

DOCUMENTED: dict[str, Any] = {
    "kind": "connector",
    "version": "1.0",
    "id": "salesforce_rest",
    "displayName": "Salesforce REST",
    "category": "crm",
    "auth": [
        {
            "type": "oauth2",
            "authorizeUrl": "https://login.salesforce.com/services/oauth2/authorize",
            "tokenUrl": "https://login.salesforce.com/services/oauth2/token",
            "scopes": ["api", "refresh_token"],
            "clientIdRef": "{{secrets.clientId}}",
            "clientSecretRef": "{{secrets.clientSecret}}",
        }
    ],
    "endpoints": [
        {
            "id": "query",
            "method": "GET",
            "url": "{{instance_url}}/services/data/v59.0/query",
            "params": {"q": "{{soql}}"},
            "pagination": {"type": "cursor", "cursorField": "nextRecordsUrl", "pageSize": 200},
            "rateLimit": {"requestsPerSecond": 10},
        }
    ],
    "read": {"primary": "query", "resourceTypes": ["Account", "Contact", "Lead", "Opportunity"]},
}
"""As the documented format has it, word by word."""


def changed(**changes: Any) -> dict[str, Any]:
    """The document with values at paths such as `endpoints__0__path`; None takes away."""
    found: Any = deepcopy(DOCUMENTED)
    for path, value in changes.items():
        *steps, last = path.split("__")
        inner = found
        for step in steps:
            inner = inner[int(step)] if step.isdigit() else inner[step]
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return dict(found)


def test_the_documented_example_becomes_a_record() -> None:
    assert document_problems(DOCUMENTED) == []
    assert variables_of(DOCUMENTED) == {"instance_url": None, "soql": None}
    made = build(DOCUMENTED, {"instance_url": "https://my.salesforce.com", "soql": "SELECT Id FROM Account"})
    assert made.problems == []
    assert CONNECTOR_TYPES["rest_api"].problems(made.config) == []
    assert made.secrets == {"clientId": "clientId", "clientSecret": "clientSecret"}
    assert made.auth_method in CONNECTOR_TYPES["rest_api"].auth_methods
    assert made.config == {
        "url": "https://my.salesforce.com",
        "auth": {
            "type": "oauth2",
            "oauthUrl": "https://login.salesforce.com/services/oauth2/token",
            "client": "body",
            "scopes": ["api", "refresh_token"],
        },
        "requestsPerSecond": 10,
        "test": {"endpoint": "query"},
        "endpoints": {
            "query": {
                "method": "GET",
                "path": "/services/data/v59.0/query",
                "params": {"q": "SELECT Id FROM Account"},
                "pagination": {"type": "next_url", "next": "nextRecordsUrl"},
            }
        },
    }


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"version": "2.0"}, "connector.version", "literal_error"),
        ({"displayName": None}, "connector.displayName", "missing_field"),
        ({"endpoint": []}, "connector.endpoint", "unknown_field"),
        ({"endpoints": []}, "connector.endpoints", "too_short"),
        ({"endpoints__0__id": "Query!"}, "connector.endpoints.0.id", "string_pattern_mismatch"),
        ({"endpoints__0__pagination__type": "pages"}, "connector.endpoints.0.pagination.type", "literal_error"),
        ({"endpoints__0__pagination": {"type": "page"}}, "connector.endpoints.0.pagination", "missing_field"),
        (
            {"endpoints__0__params": {"q": "{{secrets.clientId}}"}},
            "connector.endpoints.0.params.q",
            "secret_in_request",
        ),
        ({"endpoints__0__params": {"q": "{{parent.id}}"}}, "connector.endpoints.0", "bad_option"),
        ({"endpoints__0__url": "ftp://x/y"}, "connector.endpoints.0.url", "bad_url"),
        ({"url": "https://other.example"}, "connector.endpoints.0.url", "foreign_endpoint"),
        (
            {"endpoints__0__url": "{{instance_url}}.evil/x", "url": "{{instance_url}}"},
            "connector.endpoints.0.url",
            "foreign_endpoint",
        ),
        ({"auth__0__clientSecretRef": "abc123"}, "connector.auth.0.clientSecretRef", "secret_in_document"),
        ({"auth__0__tokenUrl": None}, "connector.auth.0", "missing_field"),
        ({"read__primary": "qerry"}, "connector.read.primary", "unknown_endpoint"),
        ({"auth__0__type": "jwt_bearer"}, "connector.auth.0", "missing_field"),
        ({"endpoints__0__emptyStatuses": [429]}, "connector.endpoints.0", "bad_option"),
        ({"endpoints__0__archive": "zip"}, "connector.endpoints.0", "bad_option"),
        ({"endpoints__0__fields": {"id": "int"}}, "connector.endpoints.0.fields.id", "string_pattern_mismatch"),
        ({"endpoints__0__fields": {"id": "decimal(40,2)"}}, "connector.endpoints.0", "bad_option"),
        ({"endpoints__0__params": {"q": "{{argument.soql}}"}}, "connector.endpoints.0", "bad_option"),
        ({"endpoints__0__cursor": {"field": "at", "restartAfter": 9}}, "connector.endpoints.0", "bad_option"),
        (
            {"endpoints__0__cursor": {"field": "at", "restartAfter": 9, "newestFirst": True}},
            "connector.endpoints.0.cursor",
            "bad_option",
        ),
        ({"endpoints__0__job": {"create": {"path": "/jobs"}}}, "connector.endpoints.0.job", "missing_field"),
        (
            {"endpoints__0__job": {"create": {"path": "https://evil.example/"}, "notYet": [404]}},
            "connector.endpoints.0.job.create",
            "bad_option",
        ),
        (
            {"endpoints__0__job": {"create": {"path": "/jobs"}, "download": "url", "notYet": [404]}},
            "connector.endpoints.0.job",
            "bad_option",
        ),
        (
            {"endpoints__0__params": {"q": "{{job.id}}"}},
            "connector.endpoints.0",
            "bad_option",
        ),
        ({"endpoints__0__headers": {"X": "a\r\nY: b"}}, "connector.endpoints.0.headers.X", "string_pattern_mismatch"),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(changes: dict[str, Any], path: str, code: str) -> None:
    assert (path, code) in [(each.path, each.code) for each in document_problems(changed(**changes))]


def test_every_problem_is_reported_at_once() -> None:
    shape = changed(version="2.0", displayName=None, endpoints__0__id="Q", auth__0__type="jwt")
    assert len(document_problems(shape)) == 4
    said = changed(
        read__primary="x",
        auth__0__clientIdRef="abc",
        endpoints__0__pagination={"type": "page"},
        endpoints__0__params={"q": "{{secrets.clientId}}"},
    )
    assert len(document_problems(said)) == 4


def test_what_is_filled_in_is_no_template() -> None:
    made = build(DOCUMENTED, {"instance_url": "https://x.example", "soql": "{{secrets.clientSecret}} {{soql}}"})
    assert made.config["endpoints"]["query"]["params"] == {"q": "{{secrets.clientSecret}} {{soql}}"}


def test_a_secret_that_is_written_out_is_not_repeated() -> None:
    problems = document_problems(changed(auth__0__clientSecretRef="abc123-secret"))
    assert problems
    assert "abc123-secret" not in repr(problems)


def test_a_name_written_wrong_is_compared_with_those_of_its_place() -> None:
    endpoint = {**DOCUMENTED["endpoints"][0], "cursr": {}, "pagination": {"type": "link", "sizeParm": "n"}}
    found = {each.path: each.hint for each in document_problems(changed(endpoints=[endpoint]))}
    assert "did you mean 'cursor'" in found["connector.endpoints.0.cursr"]
    assert "did you mean 'sizeParam'" in found["connector.endpoints.0.pagination.sizeParm"]
