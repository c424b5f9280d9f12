"""The requests of each provider, and how it parses responses."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.flows.enrich.provider import Unanswered
from headrace.flows.enrich.providers import Geocode, Http, LlmTag, MlScore
from headrace.ir.providers import CONFIGS, GeocodeConfig, HttpConfig, LlmTagConfig, MlScoreConfig

URL = "https://example.com/v1"


def test_fields_are_escaped_in_a_url_and_posted_as_an_object() -> None:
    config = HttpConfig.model_validate({"url": f"{URL}/{{a}}?n={{n}}&b={{b}}", "method": "POST", "pointer": "/0/x~1y"})
    http, inputs = Http(config), {"a": "ä/&{b}", "n": 2.5, "b": None}
    request = http.request([inputs])
    assert (request.method, request.url) == ("POST", f"{URL}/%C3%A4%2F%26%7Bb%7D?n=2.5&b=")
    assert request.body == inputs
    assert http.answers([{"x/y": True}], [inputs]) == ["true"]
    assert http.answers({"other": 1}, [inputs]) == [None]


@pytest.mark.parametrize(
    "said",
    [
        [{"lat": "52.5", "lon": "13.4", "display_name": "Berlin"}, {"lat": "1", "lon": "2"}],
        {"results": [{"geometry": {"lat": 52.5, "lng": 13.4}, "formatted": "Berlin"}]},
        {"results": [{"geometry": {"location": {"lat": 52.5, "lng": 13.4}}, "formatted_address": "Berlin"}]},
        {"features": [{"geometry": {"coordinates": [13.4, 52.5]}, "properties": {"name": "Berlin"}}]},
        {"features": [{"geometry": {"coordinates": [13.4, 52.5]}, "place_name": "Berlin", "properties": {}}]},
    ],
)
def test_geocoders_of_several_kinds_are_understood(said: Any) -> None:
    config = {"url": f"{URL}?q={{a}}"}
    (whole,) = Geocode(GeocodeConfig.model_validate(config)).answers(said, [{"a": "x"}])
    assert isinstance(whole, str)
    assert json.loads(whole) == {"lat": 52.5, "lon": 13.4, "address": "Berlin"}
    part = GeocodeConfig.model_validate(config | {"pointer": "/lat", "dataType": "double"})
    assert Geocode(part).answers(said, [{"a": "x"}]) == ["52.5"]


def test_an_address_nobody_knows_is_null_and_another_answer_is_none() -> None:
    geocode = Geocode(GeocodeConfig.model_validate({"url": f"{URL}?q={{a}}"}))
    for empty in ([], {"results": []}, {"features": []}):
        assert geocode.answers(empty, [{"a": "x"}]) == [None]
    with pytest.raises(Unanswered, match="not that of a geocoder"):
        geocode.answers({"lat": 1}, [{"a": "x"}])


def test_instances_are_objects_or_lists_and_every_one_has_its_prediction() -> None:
    questions = [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
    for shape, instances in (("object", questions), ("array", [[1, "x"], [None, "y"]])):
        model = MlScore(MlScoreConfig.model_validate({"url": URL, "instance": shape, "pointer": "/1"}))
        assert model.request(questions).body == {"instances": instances}
        assert model.answers({"predictions": [[0, 0.5], [1, 0.25]]}, questions) == ["0.5", "0.25"]
    for said in ({"predictions": [1]}, {"outputs": [1, 2]}, [1, 2]):
        with pytest.raises(Unanswered, match="for 2 instances"):
            model.answers(said, questions)


def chat(content: Any) -> Any:
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


def tagger() -> LlmTag:
    return LlmTag(LlmTagConfig.model_validate({"model": "m", "labels": ["Praise", "Ärger"], "prompt": "Be strict."}))


def test_a_model_is_given_the_labels_and_the_text_apart() -> None:
    body = tagger().request([{"a": "Ignore this"}]).body
    system, user = body["messages"]
    assert body["model"] == "m"
    assert '["Praise", "Ärger"]' in system["content"]
    assert system["content"].endswith("Be strict.")
    assert user == {"role": "user", "content": "Ignore this"}
    assert json.loads(tagger().request([{"a": "x", "n": 1}]).body["messages"][1]["content"]) == {"a": "x", "n": 1}


@pytest.mark.parametrize(
    ("content", "label"),
    [
        ('{"label": "Praise"}', "Praise"),
        ('```json\n{"label": " ärger"}\n```', "Ärger"),
        ('{"label": null}', None),
    ],
)
def test_a_label_is_taken_in_the_spelling_of_the_document(content: str, label: str | None) -> None:
    assert tagger().answers(chat(content), [{"a": "x"}]) == [label]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (chat('{"label": "Other"}'), "none of the labels"),
        (chat('{"label": 1}'), "none of the labels"),
        (chat('{"tag": "Praise"}'), "has no label"),
        (chat("Praise"), "did not answer with JSON"),
        ({"error": "x"}, "not that of a chat completion"),
        (chat(None), "not that of a chat completion"),
    ],
)
def test_what_is_no_label_is_no_answer(said: Any, reason: str) -> None:
    with pytest.raises(Unanswered, match=reason):
        tagger().answers(said, [{"a": "x"}])


def test_there_is_somebody_to_ask_for_every_config() -> None:
    from headrace.flows.enrich import PROVIDERS

    assert PROVIDERS.keys() == CONFIGS.keys()
