"""Providers that rows are enriched by, over the network: one module each, one line here. The shape of a provider's
`config` stands in `ir.providers`."""

from __future__ import annotations

from flows.enrich.asking import DETAIL, REASON, VALUE, Asking, answered
from flows.enrich.base import Interrupted, Outside, Provider
from flows.enrich.geocode import Geocode
from flows.enrich.http import Http
from flows.enrich.llm_tag import LlmTag
from flows.enrich.ml_score import MlScore

PROVIDERS: dict[str, type[Provider]] = {
    "llm_tag": LlmTag,
    "geocode": Geocode,
    "ml_score": MlScore,
    "http": Http,
}
"""Providers by name."""

__all__ = ["DETAIL", "PROVIDERS", "REASON", "VALUE", "Asking", "Interrupted", "Outside", "Provider", "answered"]
