"""Enrich nodes: each provider's own config, checked with the place and a hint, and no secret in a document."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.ir import parse_ir
from headrace.ir.nodes import EnrichNode
from headrace.ir.providers import HttpConfig, LlmTagConfig
from tests.ir.enriching import URL, document


def parsed(*args: Any, **node: Any) -> EnrichNode:
    result = parse_ir(document(*args, **node))
    assert result.ir is not None, result.problems
    (found,) = (each for each in result.ir.nodes if isinstance(each, EnrichNode))
    again = parse_ir(result.ir.model_dump(mode="json", exclude_none=True)).ir
    assert again == result.ir
    return found


def test_the_config_is_that_of_the_provider() -> None:
    config = parsed("http", {"url": f"{URL}/{{a}}", "apiKey": "${credentials.enrichKey}"}).config
    assert isinstance(config, HttpConfig)
    assert (config.method, config.on_error, config.data_type) == ("GET", "null", "text")
    config = parsed("llm_tag", {"model": "m", "labels": ["x", "y"]}).config
    assert isinstance(config, LlmTagConfig)
    assert config.api_key == "${credentials.enrichApiKey}"


@pytest.mark.parametrize("config", [None, {}])
def test_a_document_may_name_a_provider_and_nothing_else(config: Any) -> None:
    assert parsed("geocode", config).config is None


@pytest.mark.parametrize(
    ("changes", "path", "code", "hint"),
    [
        ({"provider": "htpp"}, "provider", "unknown_provider", "did you mean 'http'?"),
        ({"outputFild": "x"}, "outputFild", "unknown_field", "did you mean 'outputField'?"),
        ({"fields": []}, "fields", "too_short", ""),
        ({"fields": ["a", "a"]}, "fields", "duplicate_column", "name each once"),
        ({"outputField": "__x"}, "outputField", "invalid_column", "names that begin with two underscores are reserved"),
        (
            {"config": {"url": f"{URL}/{{a}}", "pointr": "/b"}},
            "config.pointr",
            "unknown_field",
            "did you mean 'pointer'?",
        ),
        ({"config": {"url": URL, "labels": []}}, "config.labels", "unknown_field", None),
        ({"config": {"pointer": "/a"}}, "config.url", "missing_field", "add 'url'"),
        ({"config": {"url": f"{URL}?q={{aa}}"}}, "config.url", "unknown_placeholder", "did you mean 'a'?"),
        ({"config": {"url": URL}}, "config.url", "no_placeholder", "for example …?q={a}"),
        ({"config": {"url": "https://{a}.example.com/"}}, "config.url", "invalid_url", None),
        ({"config": {"url": "https://me:pw@example.com/{a}"}}, "config.url", "invalid_url", None),
        ({"config": {"url": "file:///etc/passwd"}}, "config.url", "invalid_url", None),
        ({"config": {"url": f"{URL}/{{a}}", "apiKey": "s3cret"}}, "config.apiKey", "secret_reference", None),
        (
            {"config": {"url": f"{URL}/{{a}}", "apiKey": "${credentials.password}"}},
            "config.apiKey",
            "invalid_secret",
            "rename it in the authConfig of the pipeline's connector, for example enrichApiKey",
        ),
        ({"config": {"url": f"{URL}/{{a}}", "onError": "skip"}}, "config.onError", "invalid_value", None),
        (
            {"config": {"url": f"{URL}/{{a}}", "apiKeyHeader": "X-Key", "apiKeyParam": "key"}},
            "config",
            "two_places",
            "leave one out",
        ),
        (
            {"provider": "llm_tag", "config": {"model": "m", "labels": ["x", "x"]}},
            "config.labels",
            "duplicate_label",
            "give each label once",
        ),
        (
            {"provider": "ml_score", "config": {"url": f"{URL}/{{a}}"}},
            "config.url",
            "invalid_url",
            "leave the braces out",
        ),
    ],
)
def test_what_is_wrong_is_reported_at_its_place_with_a_hint(
    changes: dict[str, Any], path: str, code: str, hint: str | None
) -> None:
    (problem,) = parse_ir(document(**changes)).problems
    assert (problem.path, problem.code) == (f"nodes[1].{path}", code)
    assert hint is None or problem.hint == hint
    assert "s3cret" not in problem.message


def test_a_node_without_a_provider_is_reported_to_name_one() -> None:
    raw = document()
    del raw["nodes"][1]["provider"]
    assert [(p.path, p.code) for p in parse_ir(raw).problems] == [("nodes[1].provider", "missing_field")]
