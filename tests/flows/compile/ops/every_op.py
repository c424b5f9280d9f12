"""A case of every op that works on rows."""

from __future__ import annotations

from tests.flows.compile.ops.cases import Op
from tests.flows.compile.ops.models import EMBED, FEEL, PLACE, SPEAK
from tests.flows.compile.ops.shelf import lookup
from tests.flows.compile.ops.texts import JSON, PAIR, WORDS

CASES: dict[str, Op] = {
    "rename": {"type": "rename", "from": "text", "to": "renamed"},
    "drop": {"type": "drop", "fields": ["text", "day"]},
    "cast": {"type": "cast", "field": "text", "to": "integer"},
    "expression": {"type": "expression", "field": "new", "expression": "cast(text as int) + id"},
    "add_field": {"type": "add_field", "field": "new", "value": "x"},
    "filter": {"type": "filter", "expression": "id > 0 or text = 'a'"},
    "map_values": {"type": "map_values", "field": "text", "mapping": {"a": "b", "1": None}, "default": 5},
    "split": PAIR,
    "split by pattern": WORDS,
    "merge": {"type": "merge", "fields": ["text", "id", "amount", "moment"], "to": "all"},
    "fill_null": {"type": "fill_null", "fields": ["text", "other"], "value": "-", "blank": True},
    "trim": {"type": "trim", "fields": ["text"]},
    "parse_json": JSON,
    "explode": {"type": "explode", "field": "text", "separator": ",", "keepEmpty": False, "maxElements": 2},
    "lookup_join": lookup(onMiss="quarantine"),
    "lookup_join that drops": lookup("id", "number", onMiss="drop"),
    "vector_embed": EMBED,
    "sentiment_score": FEEL,
    "language_detect": SPEAK,
    "geo_resolve": PLACE,
    "hash": {"type": "hash", "fields": ["text"]},
    "mask_pii": {"type": "mask_pii", "field": "text", "strategy": "partial"},
}
