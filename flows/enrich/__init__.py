"""Providers that enrich rows over the network, one line each in PROVIDERS. The models of their `config` are in
`ir.providers`."""

from __future__ import annotations

from headrace.flows.enrich.enricher import DETAIL, REASON, VALUE, Enricher, answer_dtype
from headrace.flows.enrich.provider import Interrupted, Provider, ProviderAccess
from headrace.flows.enrich.providers import Geocode, Http, LlmTag, MlScore

PROVIDERS: dict[str, type[Provider]] = {
    "llm_tag": LlmTag,
    "geocode": Geocode,
    "ml_score": MlScore,
    "http": Http,
}
"""Providers by name."""

__all__ = [
    "DETAIL",
    "PROVIDERS",
    "REASON",
    "VALUE",
    "Enricher",
    "Interrupted",
    "Provider",
    "ProviderAccess",
    "answer_dtype",
]
