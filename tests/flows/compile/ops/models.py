"""One op of every kind that a model answers."""

from __future__ import annotations

from tests.flows.compile.ops.cases import Op

EMBED: Op = {"type": "vector_embed", "field": "text", "to": "vector"}


FEEL: Op = {"type": "sentiment_score", "field": "text", "to": "score"}


SPEAK: Op = {"type": "language_detect", "field": "text", "to": "language"}


PLACE: Op = {
    "type": "geo_resolve",
    "lat": "price",
    "lon": "amount",
    "to": {"country": "country", "region": "region", "city": "city"},
}
