"""Texts that ops take apart."""

from __future__ import annotations

from tests.flows.compile.ops.cases import Op

PAIR: Op = {"type": "split", "field": "text", "separator": ",", "into": ["a", "b"]}


WORDS: Op = {"type": "split", "field": "text", "pattern": "^([a-zäöü]+)-([0-9]+)$", "into": ["a", "b"]}


JSON: Op = {
    "type": "parse_json",
    "field": "text",
    "into": [
        {"field": "count", "dataType": "integer"},
        {"field": "city", "path": "$.place.city"},
        {"field": "born", "path": "$.dates[0]", "dataType": "date"},
        {"field": "place", "dataType": "json"},
    ],
}
